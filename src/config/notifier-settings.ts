import { durationMs } from "@bufbuild/protobuf/wkt";
import type { LabelMatcher } from "../../gen/retake/v1/alert_pb.js";
import {
  type BasicCredentials,
  EmailSecurity,
  type NotifierConfig,
  type NotifierSecret,
  type RouteConfig,
} from "../../gen/retake/v1/notifier_config_pb.js";

/** Where a secret is. */
export type ResolvedNotifierSecret =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "environment"; readonly name: string };

export interface ResolvedBasicCredentials {
  readonly username: string;
  readonly password: ResolvedNotifierSecret;
}

/** What a notifier is. */
export type ResolvedNotifierKind =
  | { readonly kind: "webhook"; readonly url: string; readonly secrets: readonly ResolvedNotifierSecret[] }
  | { readonly kind: "slack"; readonly url: ResolvedNotifierSecret }
  | { readonly kind: "pagerduty"; readonly url: string; readonly routingKey: ResolvedNotifierSecret }
  | {
      readonly kind: "alertmanager";
      readonly url: string;
      readonly basic?: ResolvedBasicCredentials;
      readonly bearerToken?: ResolvedNotifierSecret;
    }
  | {
      readonly kind: "email";
      readonly host: string;
      readonly port: number;
      readonly security: "starttls" | "tls" | "none";
      /** Empty for those that Node trusts. */
      readonly caFile: string;
      readonly credentials?: ResolvedBasicCredentials;
      readonly from: string;
      readonly to: readonly string[];
    };

/** A `NotifierConfig` with every default filled in. */
export interface ResolvedNotifier {
  readonly name: string;
  readonly what: ResolvedNotifierKind;
  readonly timeoutMs: number;
  readonly maxPerMinute: number;
}

/** A `RouteConfig`. */
export interface ResolvedRoute {
  readonly matchers: readonly LabelMatcher[];
  readonly notifiers: readonly string[];
  readonly continue: boolean;
  /** Absent where the alert decides. */
  readonly repeatMs?: number;
}

const pagerdutyUrl = "https://events.pagerduty.com/v2/enqueue";
const submissionPort = 587;
const submissionsPort = 465;
const defaultTimeoutMs = 10_000;
/** What Slack takes of one webhook, and enough for people. */
const defaultPerMinute = 60;

export function resolveNotifier({ name, kind, timeout, maxPerMinute }: NotifierConfig): ResolvedNotifier {
  return {
    name,
    what: resolveKind(kind),
    timeoutMs: timeout === undefined ? defaultTimeoutMs : durationMs(timeout),
    maxPerMinute: maxPerMinute ?? defaultPerMinute,
  };
}

export function resolveRoute({ matchers, notifiers, continue: goesOn, repeatInterval }: RouteConfig): ResolvedRoute {
  return {
    matchers: [...matchers],
    notifiers: [...notifiers],
    continue: goesOn,
    ...(repeatInterval !== undefined && { repeatMs: durationMs(repeatInterval) }),
  };
}

function resolveKind(kind: NotifierConfig["kind"]): ResolvedNotifierKind {
  switch (kind.case) {
    case "slack":
      return { kind: "slack", url: resolveSecret(kind.value.url) };
    case "pagerduty":
      return {
        kind: "pagerduty",
        url: kind.value.url || pagerdutyUrl,
        routingKey: resolveSecret(kind.value.routingKey),
      };
    case "alertmanager": {
      const { url, credentials } = kind.value;
      return {
        kind: "alertmanager",
        url,
        ...(credentials.case === "basic" && { basic: resolveCredentials(credentials.value) }),
        ...(credentials.case === "bearerToken" && { bearerToken: resolveSecret(credentials.value) }),
      };
    }
    case "email": {
      const { host, port, security, caFile, credentials, from, to } = kind.value;
      const fromTheStart = security === EmailSecurity.TLS;
      return {
        ...{ kind: "email", host, caFile, from, to: [...to] },
        port: port ?? (fromTheStart ? submissionsPort : submissionPort),
        security: fromTheStart ? "tls" : security === EmailSecurity.NONE ? "none" : "starttls",
        ...(credentials !== undefined && { credentials: resolveCredentials(credentials) }),
      };
    }
    default:
      return { kind: "webhook", url: kind.value?.url ?? "", secrets: (kind.value?.secrets ?? []).map(resolveSecret) };
  }
}

function resolveCredentials({ username, password }: BasicCredentials): ResolvedBasicCredentials {
  return { username, password: resolveSecret(password) };
}

function resolveSecret(secret: NotifierSecret | undefined): ResolvedNotifierSecret {
  const source = secret?.source;
  return source?.case === "file"
    ? { kind: "file", path: source.value }
    : { kind: "environment", name: source?.value ?? "" };
}

import { readFileSync } from "node:fs";
import type { Clock } from "../../clock.ts";
import { ConfigError, type ConfigProblem, type ResolvedNotifier } from "../../config/index.ts";
import type { Logger } from "../../runs/index.ts";
import { WebhookSecrets } from "../../webhooks/index.ts";
import { createAlertmanagerNotifier } from "./alertmanager-notifier.ts";
import type { Notifier } from "./notifier.ts";
import { type Environment, NotifierSecret } from "./notifier-secret.ts";
import { createPagerDutyNotifier } from "./pagerduty-notifier.ts";
import { createSlackNotifier } from "./slack-notifier.ts";
import { createWebhookNotifier } from "./webhook-notifier.ts";

export interface NotifierServices {
  readonly env: Environment;
  /** What alerts are about, to people: the name of this machine. */
  readonly source: string;
  readonly externalUrl: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The notifiers of a configuration.
 *
 * @throws ConfigError naming each secret that cannot be read
 */
export async function createNotifiers(
  configs: readonly ResolvedNotifier[],
  services: NotifierServices,
): Promise<readonly Notifier[]> {
  const problems: ConfigProblem[] = [];
  const notifiers: Notifier[] = [];
  for (const [index, config] of configs.entries()) {
    const field = `monitoring.notifiers[${index}].${config.what.kind}`;
    try {
      notifiers.push(await createNotifier(config, field, services));
    } catch (error) {
      if (error instanceof ConfigError) problems.push(...error.problems);
      else problems.push({ field, message: (error as Error).message });
    }
  }
  if (problems.length > 0) throw new ConfigError("configuration", problems);
  return notifiers;
}

async function createNotifier(config: ResolvedNotifier, field: string, services: NotifierServices): Promise<Notifier> {
  const { name, what, timeoutMs, maxPerMinute } = config;
  const { env, source, externalUrl, clock, log } = services;
  const common = { name, timeoutMs, maxPerMinute, externalUrl, clock };
  switch (what.kind) {
    case "webhook": {
      const { url, secrets } = what;
      const signing = secrets.length > 0 && new WebhookSecrets(secrets, env, clock, log, `${field}.secrets`);
      return createWebhookNotifier({ ...common, url, ...(signing && { secrets: signing }) });
    }
    case "slack":
      return createSlackNotifier({ ...common, url: new NotifierSecret(what.url, env) });
    case "pagerduty": {
      const { url, routingKey } = what;
      return createPagerDutyNotifier({ ...common, url, source, routingKey: new NotifierSecret(routingKey, env) });
    }
    case "alertmanager": {
      const { url, basic, bearerToken } = what;
      return createAlertmanagerNotifier({
        ...{ ...common, url },
        ...(basic && { basic: { username: basic.username, password: new NotifierSecret(basic.password, env) } }),
        ...(bearerToken && { bearerToken: new NotifierSecret(bearerToken, env) }),
      });
    }
    case "email": {
      const { kind: _, credentials, ...rest } = what;
      if (rest.caFile !== "") readFileSync(rest.caFile);
      // Loaded where there is any: it is many modules.
      const { createEmailNotifier } = await import("./email-notifier.ts");
      const password = credentials && new NotifierSecret(credentials.password, env);
      return createEmailNotifier({
        ...{ ...common, ...rest },
        ...(password && { credentials: { username: credentials.username, password } }),
      });
    }
  }
}

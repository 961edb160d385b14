import type { ConfigProblem } from "./config-error.ts";
import type { ResolvedJwt } from "./identity-settings.ts";
import type { ResolvedConfig, ResolvedTls } from "./settings.ts";

/** What makes no sense about whom tokens and certificates are taken for. */
export function identityProblems({ security, grpc, web }: ResolvedConfig): ConfigProblem[] {
  return [
    ...issuerProblems(security.jwt),
    ...clientCertificateProblems(grpc?.tls, "grpc.tls"),
    ...clientCertificateProblems(web?.tls, "web.tls"),
    ...ruleProblems(security.mtls.length, [grpc?.tls, web?.tls]),
  ];
}

function issuerProblems(issuers: readonly ResolvedJwt[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const before = new Map<string, ResolvedJwt>();
  let withoutMapping: ResolvedJwt | undefined;
  for (const jwt of issuers) {
    const { field, issuer, keys, identity } = jwt;
    if (keys.kind !== "file") {
      const [key, url] = keys.kind === "url" ? ["jwks_url", keys.url] : ["issuer", issuer];
      const message = urlProblem(url, keys.kind === "discovery" ? "; or name jwks_url or jwks_file" : "");
      if (message !== undefined) problems.push({ field: `${field}.${key}`, message });
    }
    const same = before.get(issuer);
    if (same !== undefined) {
      const message = `${same.field} is of this issuer already; give that all audiences and algorithms`;
      problems.push({ field: `${field}.issuer`, message });
      continue;
    }
    before.set(issuer, jwt);
    if (identity.subject !== undefined || identity.tenant !== undefined) continue;
    if (withoutMapping === undefined) {
      withoutMapping = jwt;
    } else {
      const message =
        `subjects of this issuer and of ${withoutMapping.issuer} would be taken for each other: ` +
        `give one of them a tenant, like '"partner"', or a subject, like '"partner:" + claims.sub'`;
      problems.push({ field: `${field}.identity`, message });
    }
  }
  return problems;
}

/** Keys that come over a connection that others can change are no keys. */
function urlProblem(text: string, alternative: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return `"${text}" is no URL${alternative}`;
  if (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname))) return undefined;
  return `"${text}" is neither https nor, on this machine, http${alternative}`;
}

function isLoopback(hostname: string): boolean {
  return /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/i.test(hostname);
}

function clientCertificateProblems(tls: ResolvedTls | undefined, where: string): ConfigProblem[] {
  if (tls === undefined || tls.clientCaFile !== undefined) return [];
  const needless = [
    ...(tls.clientCertificateOptional ? ["client_certificate"] : []),
    ...(tls.clientCrlFile === undefined ? [] : ["client_crl_file"]),
  ];
  const message = "needs client_ca_file: without authorities no certificate of a client is asked for";
  return needless.map((name) => ({ field: `${where}.${name}`, message }));
}

function ruleProblems(rules: number, ports: readonly (ResolvedTls | undefined)[]): ConfigProblem[] {
  if (rules === 0 || ports.some((tls) => tls?.clientCaFile !== undefined)) return [];
  const message = "no port asks for certificates of clients; name client_ca_file in grpc.tls or web.tls";
  return [{ field: "security.mtls", message }];
}

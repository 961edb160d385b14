import type { EndpointSettings } from "../backends/index.ts";
import {
  ConfigError,
  type ConfigProblem,
  type ResolvedBackend,
  type ResolvedBackendTls,
  type ResolvedOutlierDetection,
  type ResolvedRetryBudget,
} from "../config/index.ts";
import type { TlsOptions } from "../transport/index.ts";
import { readPemFiles } from "./pem-files.ts";

/** A back-end, with the certificates of its endpoints at hand. */
export interface BackendSettings {
  /** Absent for all services with a workflow that the endpoints tell by reflection. */
  readonly service?: string;
  readonly endpoints: readonly EndpointSettings[];
  readonly outlierDetection?: ResolvedOutlierDetection;
  /** Absent where retries need none. */
  readonly retryBudget?: ResolvedRetryBudget;
}

/**
 * Reads the TLS files of all endpoints.
 *
 * @throws ConfigError with everything that is wrong with them, each problem with its field and file
 */
export function readBackendTls(backends: readonly ResolvedBackend[]): readonly BackendSettings[] {
  const problems: ConfigProblem[] = [];
  const known = new Map<string, EndpointSettings>();
  const settings = backends.map((backend, index) => ({
    ...backend,
    endpoints: backend.endpoints.map((endpoint, number) => {
      const { tls, ...rest } = endpoint;
      let settled = known.get(endpoint.target);
      if (settled === undefined) {
        const where = `backends[${index}].endpoints[${number}].tls`;
        settled = tls === undefined ? rest : { ...rest, tls: readFiles(tls, where, problems) };
        known.set(endpoint.target, settled);
      }
      return settled;
    }),
  }));
  if (problems.length > 0) {
    throw new ConfigError("configuration", problems);
  }
  return settings;
}

function readFiles(tls: ResolvedBackendTls, where: string, problems: ConfigProblem[]): TlsOptions {
  const read = readPemFiles(
    {
      ...(tls.caFile !== undefined && { ca_file: tls.caFile }),
      ...(tls.certificateFile !== undefined && { certificate_file: tls.certificateFile }),
      ...(tls.keyFile !== undefined && { key_file: tls.keyFile }),
    },
    where,
    problems,
  );
  return {
    ...(read.ca_file && { ca: read.ca_file }),
    ...(read.certificate_file && { cert: read.certificate_file }),
    ...(read.key_file && { key: read.key_file }),
    ...(tls.serverName !== undefined && { serverName: tls.serverName }),
  };
}

import { ConfigError, type ConfigProblem, type ResolvedConfig, type ResolvedTls } from "../config/index.ts";
import type { ServerTls } from "../transport/index.ts";
import { readPemFiles } from "./pem-files.ts";

/** Absent for plain text. */
export interface FrontsTls {
  readonly grpc?: ServerTls;
  readonly web?: ServerTls;
}

/**
 * Reads the files of both fronts, before anything else is opened.
 *
 * @throws ConfigError with everything that is wrong with them, each problem with its field and file
 */
export function readTls({ grpc, web }: Pick<ResolvedConfig, "grpc" | "web">): FrontsTls {
  const problems: ConfigProblem[] = [];
  const files = {
    ...(grpc?.tls && { grpc: readTlsFiles(grpc.tls, "grpc.tls", problems) }),
    ...(web?.tls && { web: readTlsFiles(web.tls, "web.tls", problems) }),
  };
  if (problems.length > 0) {
    throw new ConfigError("configuration", problems);
  }
  return files;
}

/** Reads those of one front. What it answers is of use only if it has found no problem. */
export function readTlsFiles(tls: ResolvedTls, where: string, problems: ConfigProblem[]): ServerTls {
  const read = readPemFiles(
    {
      certificate_file: tls.certificateFile,
      key_file: tls.keyFile,
      ...(tls.clientCaFile !== undefined && { client_ca_file: tls.clientCaFile }),
      ...(tls.clientCrlFile !== undefined && { client_crl_file: tls.clientCrlFile }),
    },
    where,
    problems,
  );
  return {
    certificate: read.certificate_file ?? Buffer.alloc(0),
    key: read.key_file ?? Buffer.alloc(0),
    clientCertificateOptional: tls.clientCertificateOptional,
    ...(read.client_ca_file && { clientCa: read.client_ca_file }),
    ...(read.client_crl_file && { clientCrl: read.client_crl_file }),
  };
}

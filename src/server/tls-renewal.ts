import { X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../clock.ts";
import type { ConfigProblem, ResolvedTls } from "../config/index.ts";
import { FileChanges } from "../file-changes.ts";
import type { Logger } from "../runs/index.ts";
import type { ServerTls } from "../transport/index.ts";
import { readTlsFiles } from "./tls.ts";

export interface TlsRenewalOptions {
  readonly tls: ResolvedTls;
  /** What the port has begun with. */
  readonly served: ServerTls;
  /** The key of the configuration that names the files. */
  readonly where: string;
  /** Lets new connections go by these. @throws Error when TLS refuses them */
  readonly renew: (tls: ServerTls) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Keeps the certificates of a port what their files say. Files that cannot be used are told, and change nothing. */
export function followTlsFiles({ tls, served, where, renew, clock, log }: TlsRenewalOptions): FileChanges {
  const files = [tls.certificateFile, tls.keyFile, tls.clientCaFile, tls.clientCrlFile].filter(
    (file) => file !== undefined,
  );
  let current = served;
  return new FileChanges({
    files,
    clock,
    onChange: () => {
      const problems: ConfigProblem[] = [];
      const read = readTlsFiles(tls, where, problems);
      if (problems.length === 0 && isDeepStrictEqual(read, current)) return;
      try {
        if (problems.length === 0) renew(read);
      } catch (error) {
        problems.push({ field: where, message: `TLS refuses these files: ${(error as Error).message}` });
      }
      if (problems.length > 0) {
        log.error({ problems }, "the changed files of TLS cannot be used: those from before go on being served");
        return;
      }
      current = read;
      const { validTo, subject } = new X509Certificate(read.certificate);
      log.info({ field: where, subject, validTo }, "the files of TLS have changed: new connections go by them");
    },
  });
}

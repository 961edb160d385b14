import type { TLSSocket } from "node:tls";
import type { Logger } from "../runs/index.ts";

/**
 * Tells why connections do not come about: a certificate that has expired, or a revocation list that is out of date. At
 * debug, because everybody who scans ports makes such errors.
 */
export function tlsErrorLogger(log: Logger, where: string): (error: Error, socket: TLSSocket) => void {
  return (error, { remoteAddress }) => {
    log.debug({ err: error, field: where, address: remoteAddress }, "a handshake of TLS has failed");
  };
}

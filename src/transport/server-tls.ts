import type { SecureContextOptions, TLSSocket, TlsOptions } from "node:tls";

/** What a TLS server shows, and whom it lets in: PEM. */
export interface ServerTls {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Clients are asked for a certificate of one of these authorities. */
  readonly clientCa?: Buffer;
  /** Clients that are asked for one may do without. Default: they may not. */
  readonly clientCertificateOptional?: boolean;
  /** What each of the authorities has revoked. */
  readonly clientCrl?: Buffer;
}

/** Node waits two minutes, which is long for holding a connection that has said nothing. */
const handshakeTimeoutMs = 10_000;

/** For a server's start. */
export function tlsOptions(tls: ServerTls): TlsOptions {
  return {
    ...secureContextOptions(tls),
    handshakeTimeout: handshakeTimeoutMs,
    ...(tls.clientCa && { requestCert: true, rejectUnauthorized: tls.clientCertificateOptional !== true }),
  };
}

/** For `setSecureContext`, which new connections go by. */
export function secureContextOptions({ certificate, key, clientCa, clientCrl }: ServerTls): SecureContextOptions {
  return { cert: certificate, key, ...(clientCa && { ca: clientCa }), ...(clientCrl && { crl: clientCrl }) };
}

/**
 * For each connection whose handshake is over. Where certificates are optional Node lets in wrong ones as well: those are
 * cut off here, since a wrong certificate is not the same as none. Whether the connection stays.
 */
export function admitSecured(socket: TLSSocket): boolean {
  const certificate = socket.getPeerCertificate();
  // Without a certificate it is an empty object, or null once the connection is gone.
  if (certificate?.raw !== undefined && !socket.authorized) {
    socket.destroy();
    return false;
  }
  // It is asked for with each call, stays what it is, and is parsed anew by Node each time.
  socket.getPeerCertificate = (() => certificate) as TLSSocket["getPeerCertificate"];
  return true;
}

import { checkServerIdentity } from "node:tls";
import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";
import { targetAddress } from "./target.ts";

/** How a connection is secured. Certificates and keys are PEM, as text or bytes. */
export interface TlsOptions {
  /** Authorities to trust. Default: those of Node. */
  readonly ca?: string | Uint8Array;
  /** The client's own certificate, with the chain to its authority; needs `key`. */
  readonly cert?: string | Uint8Array;
  /** The key of `cert`. */
  readonly key?: string | Uint8Array;
  /** The name that the server's certificate must have, where that is not the one in `target`. */
  readonly serverName?: string;
}

export interface TlsChannel {
  readonly credentials: ChannelCredentials;
  readonly channelOptions: ChannelOptions;
}

/** The same for a grpc-js channel. @throws TypeError for a certificate without its key, or the other way around */
export function tlsChannel({ ca, cert, key, serverName }: TlsOptions, target: string): TlsChannel {
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("tls: a client's certificate (cert) and its key (key) are given together");
  }
  const address = serverName === undefined ? targetAddress(target) : undefined;
  // grpc-js names the server by the target's host, and Node refuses addresses there. So it gets a name that means
  // nothing, and the certificate is checked for the address.
  const name = address === undefined ? serverName : `${address.replace(/[.:]+/g, "-")}.invalid`;
  const verify =
    address === undefined
      ? undefined
      : {
          checkServerIdentity: (_: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
            checkServerIdentity(address, certificate),
        };
  return {
    credentials: credentials.createSsl(bytes(ca), bytes(key), bytes(cert), verify),
    channelOptions: {
      ...(name === undefined ? {} : { "grpc.ssl_target_name_override": name }),
      ...(serverName === undefined ? {} : { "grpc.default_authority": serverName }),
    },
  };
}

function bytes(pem: string | Uint8Array | undefined): Buffer | null {
  if (pem === undefined) return null;
  return typeof pem === "string" ? Buffer.from(pem) : Buffer.from(pem);
}

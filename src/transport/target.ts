import { isIP } from "node:net";

/** @throws TypeError for what grpc-js would not take, or would take for something else */
export function assertTarget(target: string): void {
  if (target.trim() === "") {
    throw new TypeError('target: name the server, as "host:port"');
  }
  const scheme = /^(https?):\/\//i.exec(target)?.[1]?.toLowerCase();
  if (scheme !== undefined) {
    const tls = scheme === "https" ? ", and set tls to true" : "";
    throw new TypeError(`target: "${target}" is a URL, and gRPC takes "host:port": leave out "${scheme}://"${tls}`);
  }
  if (/\s/.test(target)) {
    throw new TypeError(`target: "${target}" has a space in it; a target looks like "host:port" or "dns:///host:port"`);
  }
}

/** Whether what is sent to this target stays on this machine. */
export function isLoopback(target: string): boolean {
  if (/^unix(-abstract)?:/.test(target)) return true;
  return hosts(target).every((host) => /^(localhost|::1|127(\.\d{1,3}){3})$/i.test(host));
}

/** The IP address that a target gives in place of a name. */
export function targetAddress(target: string): string | undefined {
  return hosts(target).find((host) => isIP(host) !== 0);
}

function hosts(target: string): string[] {
  return target
    .replace(/^(dns|ipv4|ipv6):(\/\/[^/]*\/)?/, "")
    .split(",")
    .map((address) => /^\[(.*)\](:\d+)?$/.exec(address)?.[1] ?? address.replace(/^([^:]*):\d+$/, "$1"));
}

/**
 * The first server that a target names, as the semantic conventions of OpenTelemetry have it: without scheme and
 * authority, its port apart. A socket is its path.
 */
export function serverOf(target: string): { readonly address: string; readonly port: number | undefined } {
  const socket = /^unix(?:-abstract)?:(?:\/\/)?(.*)$/.exec(target)?.[1];
  if (socket !== undefined) return { address: socket, port: undefined };
  const [address = target] = hosts(target);
  const [first = ""] = target.split(",");
  const port = /(?:\]|^[^:]*|\/[^:/]*):(\d+)$/.exec(first.replace(/^(dns|ipv4|ipv6):(?=[^/])/, ""))?.[1];
  return { address, port: port === undefined ? undefined : Number(port) };
}

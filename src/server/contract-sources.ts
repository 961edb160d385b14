import { readFile } from "node:fs/promises";
import type { DescFile, DescService } from "@bufbuild/protobuf";
import {
  connectEndpoint,
  descriptorSetHint,
  type EndpointSettings,
  ReflectionError,
  reflectContracts,
  type ServiceBackend,
  type ServiceEndpoints,
} from "../backends/index.ts";
import type { Clock } from "../clock.ts";
import { inProcessTarget, type ResolvedConfig } from "../config/index.ts";
import {
  ContractError,
  type ContractProblem,
  type DescriptorSource,
  loadDescriptors,
  offeredServices,
  parseDescriptorSet,
  workflowLines,
} from "../contract/index.ts";
import type { BackendBudget, Logger } from "../runs/index.ts";
import { sleep } from "../sleep.ts";
import { type BackendSettings, readBackendTls } from "./backend-tls.ts";

export interface ContractSourcesOptions {
  readonly clock: Clock;
  readonly log: Logger;
}

export interface LoadOptions {
  /** The services that code brings. */
  readonly services: readonly DescService[];
  /** Those of them that have handlers in this process. */
  readonly implemented: ReadonlySet<string>;
  /** For as long a back-end that cannot be reached is waited for. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/** All contracts, and where the attempts of each service are made where that is configured. */
export interface LoadedContracts {
  readonly services: readonly DescService[];
  readonly endpoints: ServiceEndpoints;
  /** The retry budgets of the services whose back-ends have one. */
  readonly retryBudgets: ReadonlyMap<string, BackendBudget>;
}

/** What a back-end has told, as far as it was asked. */
interface Reflected extends DescriptorSource {
  readonly services: readonly string[];
}

/**
 * Gathers contracts from code, from the files of descriptor sets, and from back-ends by reflection. What a back-end has
 * told once is remembered, for when it cannot be reached the next time.
 */
export class ContractSources {
  readonly #options: ContractSourcesOptions;
  readonly #remembered = new Map<string, Reflected>();

  constructor(options: ContractSourcesOptions) {
    this.#options = options;
  }

  /** @throws ContractError, ConfigError, ReflectionError */
  async load(config: ResolvedConfig, options: LoadOptions): Promise<LoadedContracts> {
    const backends = readBackendTls(config.backends);
    const sets = await readSets(config.contracts);
    const problems: ContractProblem[] = [];
    const fromCode = new Set(options.services.map(({ typeName }) => typeName));
    const wanted = new Set(backends.flatMap(({ service }) => service ?? []));
    const isWanted = ({ typeName }: DescService): boolean => wanted.has(typeName) && !fromCode.has(typeName);

    const own = loadDescriptors(sets, problems);
    if (problems.length === 0) {
      problems.push(...sets.flatMap((set) => emptySetProblems(set, own, config.overrides, wanted)));
    }
    // A set that cannot be read would have back-ends asked for what it was to bring.
    if (problems.length > 0) throw new ContractError(problems);

    const ownServices = offeredServices(own.values(), config.overrides);
    const fromSets = [...ownServices.withWorkflows, ...ownServices.others.filter(isWanted)];
    const known = new Set([...fromCode, ...fromSets.map(({ typeName }) => typeName)]);
    const reflected = new Map<BackendSettings, Reflected>();
    for (const backend of backends) {
      if (backend.service !== undefined && known.has(backend.service)) continue;
      if (backend.endpoints.every(({ target }) => target === inProcessTarget)) {
        const where = backend.service ?? "";
        problems.push({ where, message: "is configured under `backends`, but no handlers implement it" });
      } else {
        reflected.set(backend, await this.#reflect(backend, known, options));
      }
    }
    const files = loadDescriptors([...sets, ...reflected.values()], problems);
    const offered = offeredServices(files.values(), config.overrides);
    const loaded = [...offered.withWorkflows, ...offered.others.filter(isWanted)].filter(
      ({ typeName }) => !fromCode.has(typeName),
    );
    const services = [...options.services, ...loaded];
    for (const [{ service }, told] of reflected) {
      if (service === undefined) problems.push(...nothingToldProblems(told, services, files));
    }
    if (problems.length > 0) throw new ContractError(problems);
    const endpoints = endpointsOf(backends, reflected, services, options.implemented);
    return { services, endpoints, retryBudgets: retryBudgetsOf(backends, endpoints) };
  }

  async #reflect(backend: BackendSettings, known: ReadonlySet<string>, options: LoadOptions): Promise<Reflected> {
    const { clock, log } = this.#options;
    const { service } = backend;
    const endpoints = backend.endpoints.filter(({ target }) => target !== inProcessTarget);
    const name = `the back-end ${endpoints.map(({ target }) => target).join(", ")}`;
    const memory = JSON.stringify([service, endpoints.map(({ target }) => target)]);
    const untilMs = clock.monotonic() + options.patienceMs;
    for (let told = Number.NEGATIVE_INFINITY; ; ) {
      try {
        const contracts = await askEach(endpoints, service, known, options.signal);
        const answer = { ...contracts, name };
        this.#remembered.set(memory, answer);
        return answer;
      } catch (error) {
        if (!(error instanceof ReflectionError) || !error.unreachable) throw error;
        const remembered = this.#remembered.get(memory);
        if (remembered !== undefined) {
          log.warn(
            { problem: error.message },
            "a back-end cannot be asked for its contracts: those that it told before stay",
          );
          return remembered;
        }
        const nowMs = clock.monotonic();
        if (nowMs >= untilMs) throw givenUp(error, options.patienceMs, service);
        if (nowMs - told >= remindEveryMs) {
          log.warn({ problem: error.message }, "waiting for a back-end, to ask it for its contracts");
          told = nowMs;
        }
        await sleep(clock, retryMs, options.signal);
      }
    }
  }
}

const retryMs = 1000;
const remindEveryMs = 10_000;

/** The first endpoint that tells its contracts speaks for all; each has the same. */
async function askEach(
  endpoints: readonly EndpointSettings[],
  service: string | undefined,
  known: ReadonlySet<string>,
  signal: AbortSignal,
) {
  let failure: { readonly error: unknown; readonly unreachable: boolean } | undefined;
  for (const endpoint of endpoints) {
    const { transport, close } = connectEndpoint(endpoint);
    try {
      const asked = service === undefined ? {} : { service };
      return await reflectContracts(transport, { ...asked, target: endpoint.target, known, signal });
    } catch (error) {
      const unreachable = error instanceof ReflectionError && error.unreachable;
      // One that answers, though not with contracts, has more to say than one that is away.
      if (failure === undefined || (failure.unreachable && !unreachable)) failure = { error, unreachable };
    } finally {
      close();
    }
  }
  throw failure?.error;
}

function givenUp(error: ReflectionError, patienceMs: number, service: string | undefined): ReflectionError {
  const lines = [
    patienceMs > 0 ? `${error.message} (tried for ${patienceMs / 1000} s)` : error.message,
    "Start it, or correct its address: --backend, or `target` under `backends` in the configuration.",
    "If it uses TLS, say so there: tls: {}, or tls: { ca_file: ca.pem }.",
    `To start without it, ${descriptorSetHint(service)}`,
  ];
  return new ReflectionError(lines.join("\n"), { unreachable: true, cause: error });
}

async function readSets(files: readonly string[]): Promise<readonly DescriptorSource[]> {
  const problems: ContractProblem[] = [];
  const sources: DescriptorSource[] = [];
  for (const file of files) {
    try {
      sources.push(parseDescriptorSet(await readFile(file), file));
    } catch (error) {
      if (error instanceof ContractError) {
        problems.push(...error.problems);
      } else {
        const { code = "", message } = error as NodeJS.ErrnoException;
        problems.push({ where: file, message: `cannot be read: ${readProblems[code] ?? message}` });
      }
    }
  }
  if (problems.length > 0) throw new ContractError(problems);
  return sources;
}

const readProblems: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file. `contracts` starts from the working directory; make one with `buf build -o …`",
  EACCES: "this user may not read it",
  EISDIR: "it is a directory; name the files in it",
};

/** A set that brings no workflow has been listed by mistake. */
function emptySetProblems(
  set: DescriptorSource,
  files: ReadonlyMap<string, DescFile>,
  overrides: ResolvedConfig["overrides"],
  wanted: ReadonlySet<string>,
): ContractProblem[] {
  const own = set.files.flatMap(({ name }) => files.get(name) ?? []);
  const { withWorkflows, others } = offeredServices(own, overrides);
  if (withWorkflows.length > 0 || others.some(({ typeName }) => wanted.has(typeName))) return [];
  if (others.length === 0) return [{ where: set.name, message: "has no service in it" }];
  return [{ where: set.name, message: noWorkflow(others) }];
}

function nothingToldProblems(
  { name, services: told }: Reflected,
  services: readonly DescService[],
  files: ReadonlyMap<string, DescFile>,
): ContractProblem[] {
  if (services.some(({ typeName }) => told.includes(typeName))) return [];
  const others = [...files.values()].flatMap((file) => file.services).filter(({ typeName }) => told.includes(typeName));
  if (others.length > 0) return [{ where: name, message: noWorkflow(others) }];
  return [{ where: name, message: "tells no service of its own by reflection: register them there by their names" }];
}

function noWorkflow(services: readonly DescService[]): string {
  const names = services.map(({ typeName }) => typeName).join(", ");
  const message = `no method of ${names} is a workflow`;
  const lines = workflowLines(services);
  return lines === ""
    ? `${message}, and none can be: a workflow is unary or server-streaming`
    : `${message}. Give it the option (retake.v1.workflow), or name it in the configuration:\n${lines}`;
}

/** A service that a back-end is named for has that one; the others have all that tell them, unless there are handlers. */
function endpointsOf(
  backends: readonly BackendSettings[],
  reflected: ReadonlyMap<BackendSettings, Reflected>,
  services: readonly DescService[],
  implemented: ReadonlySet<string>,
): ServiceEndpoints {
  const named = new Map(
    backends.flatMap(({ service, ...backend }): [string, ServiceBackend][] =>
      service === undefined ? [] : [[service, backend]],
    ),
  );
  const endpoints = new Map<string, ServiceBackend>(named);
  for (const [{ service, ...backend }, { services: told }] of reflected) {
    if (service !== undefined) continue;
    for (const { typeName } of services) {
      if (!told.includes(typeName) || named.has(typeName) || implemented.has(typeName)) continue;
      const before = endpoints.get(typeName);
      const joined = [...new Set([...(before?.endpoints ?? []), ...backend.endpoints])];
      endpoints.set(typeName, { ...(before ?? backend), endpoints: joined });
    }
  }
  return endpoints;
}

/** By service: the budget of the first of its back-ends that has one. Services with the same back-end share it. */
function retryBudgetsOf(
  backends: readonly BackendSettings[],
  endpoints: ServiceEndpoints,
): ReadonlyMap<string, BackendBudget> {
  const budgets = new Map<string, BackendBudget>();
  for (const [service, { endpoints: targets }] of endpoints) {
    const backend = backends.find(
      (each) =>
        each.retryBudget !== undefined &&
        (each.service === service || (each.service === undefined && each.endpoints.some((e) => targets.includes(e)))),
    );
    if (backend?.retryBudget !== undefined) {
      const name = backend.endpoints.map(({ target }) => target).join(", ");
      budgets.set(service, { ...backend.retryBudget, backend: name });
    }
  }
  return budgets;
}

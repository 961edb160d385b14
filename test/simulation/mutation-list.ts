/** A bug that is planted, to see that the simulation finds it. */
export interface Mutation {
  readonly name: string;
  readonly edits: readonly Edit[];
}

export interface Edit {
  /** Within src/. */
  readonly file: string;
  /** Stands there once. */
  readonly from: string;
  readonly to: string;
}

export const mutations: readonly Mutation[] = [
  {
    name: "a checkpoint is not committed",
    edits: [
      {
        file: "runs/attempt-work.ts",
        from: `    this.run.commit([
      {
        case: "attemptCheckpoint",`,
        to: `    this.run.durable.then(() => [
      {
        case: "attemptCheckpoint",`,
      },
    ],
  },
  {
    name: "the wake-up after a backoff is dropped",
    edits: [
      {
        file: "runs/turns.ts",
        from: "      record.wakeAtMs ?? Number.POSITIVE_INFINITY,",
        to: "      Number.POSITIVE_INFINITY,",
      },
    ],
  },
  {
    name: "an interruption is counted",
    edits: [
      {
        file: "runs/turns.ts",
        from: "const close = attemptFailed(record.attempt.number, failure, false, attemptMs);",
        to: "const close = attemptFailed(record.attempt.number, failure, true, attemptMs);",
      },
    ],
  },
  {
    name: "a permit is released twice",
    edits: [
      {
        file: "runs/embedded/gates.ts",
        from: "      this.#giveBack(holder.pools);\n      this.#serve();",
        to: "      this.#giveBack(holder.pools);\n      this.#giveBack(holder.pools);\n      this.#serve();",
      },
    ],
  },
  {
    name: "a permit is never given back",
    edits: [
      {
        file: "interceptors/run/gate.ts",
        from: "      hold.end();\n      hold.settle(undefined);",
        to: "      hold.settle(undefined);",
      },
    ],
  },
  {
    name: "callers are answered before the end is durable",
    edits: [
      {
        file: "runs/live-run.ts",
        from: "    const lastSequence = this.#written;\n",
        to: "    const lastSequence = this.#written;\n    if (terminal) {\n      this.#endDurable = true;\n      this.#tellEnded();\n    }\n",
      },
    ],
  },
  {
    name: "a back-end is called before the start of its attempt is durable",
    edits: [
      {
        file: "interceptors/run/record.ts",
        from: "    await turn.commit([",
        to: "    void turn.commit([",
      },
    ],
  },
  {
    name: "a step is lost when its run is retaken",
    edits: [
      {
        file: "runs/attempt-work.ts",
        from: "    const journaled = this.run.record.steps.get(name, digest);",
        to: "    const journaled = this.attempt.number > 1 ? undefined : this.run.record.steps.get(name, digest);",
      },
    ],
  },
  {
    name: "a step begins before the one before it is durable",
    edits: [
      {
        file: "runs/attempt-work.ts",
        from: "    if (!this.run.quiet) {",
        to: "    if (this.run.lost) {",
      },
    ],
  },
  {
    name: "caller_grace is ignored",
    edits: [
      {
        file: "runs/turns.ts",
        from: "&& !this.#stopped) {\n        this.orphan(run);",
        to: '&& !this.#stopped) {\n        this.cancel(run, "caller", callerLost).catch(() => undefined);',
      },
    ],
  },
  {
    name: "a retry during the grace of an orphan makes it last",
    edits: [
      {
        file: "runs/turns.ts",
        from: "    this.#active++;\n    this.#wishForGrace(run);",
        to: "    this.#active++;",
      },
    ],
  },
  {
    name: "cancel_grace is ignored",
    edits: [
      {
        file: "runs/turns.ts",
        from: "?.cancelGraceMs ?? 0;",
        to: "?.timeoutMs ?? 0;",
      },
    ],
  },
  {
    name: "a watch is resumed one event too late",
    edits: [
      {
        file: "runs/watch.ts",
        from: "      let sequence = afterSequence;",
        to: "      let sequence = afterSequence === 0 ? 0 : afterSequence + 1;",
      },
    ],
  },
  {
    name: "a deadline is lost at a restart",
    edits: [
      {
        file: "runs/live-runs.ts",
        from: "    const run = LiveRun.restore(this.#ports, record);",
        to: "    const run = LiveRun.restore(this.#ports, { ...record, deadlineMs: Number.POSITIVE_INFINITY });",
      },
    ],
  },
  {
    name: "a wait is cut short by a restart",
    edits: [
      {
        file: "runs/recovered-line.ts",
        from: "(waits ? wakeAtMs : undefined) ?? 0",
        to: "0",
      },
      {
        file: "runs/turns.ts",
        from: "record.wakeAtMs > nowMs",
        to: "record.wakeAtMs > nowMs && this.#active > 0",
      },
    ],
  },
  {
    name: "nobody asks whether a silent job lives",
    edits: [
      {
        file: "interceptors/run/timeout.ts",
        from: "probe: progressTimeoutMs === Number.POSITIVE_INFINITY ? undefined : options.probe?.(request),",
        to: "probe: undefined,",
      },
    ],
  },
  {
    name: "a job that has once been said to live may be silent for ever",
    edits: [
      {
        file: "interceptors/run/silence.ts",
        from: '      if (verdict === "alive") {\n        this.#countdown.restart();\n      } else {',
        to: '      if (verdict !== "alive") {',
      },
    ],
  },
  {
    name: "a job is dead when it is said to be so once",
    edits: [
      {
        file: "interceptors/run/silence.ts",
        from: "if (++noes === 2) {",
        to: "if (++noes === 1) {",
      },
    ],
  },
  {
    name: "what an attempt says while its back-end is asked counts for nothing",
    edits: [
      {
        file: "interceptors/run/silence.ts",
        from: "  moved(): void {\n    this.#stopAsking();",
        to: "  moved(): void {",
      },
    ],
  },
  {
    name: "children outlive their parents",
    edits: [
      {
        file: "runs/turns.ts",
        from: "      if (child.endState === undefined) {",
        to: "      if (child.endState !== undefined) {",
      },
    ],
  },
  {
    name: "a key is given to the run that is newest by the wall clock",
    edits: [
      {
        file: "runs/acceptance.ts",
        from: "timeAt(row?.position ?? 0)",
        to: "0",
      },
    ],
  },
  {
    name: "a cancelled attempt is still heard",
    edits: [
      {
        file: "runs/attempt-work.ts",
        from: "    return this.#current && this.turn.abortReason === undefined;",
        to: "    return this.#current;",
      },
    ],
  },
  {
    name: "a failure and what follows it are appended one by one",
    edits: [
      {
        file: "runs/turns.ts",
        from: "    run.commit(bodies);\n    if (record.fallback",
        to: "    for (const body of bodies) {\n      run.commit([body]);\n    }\n    if (record.fallback",
      },
    ],
  },
  {
    name: "an open breaker lets runs through",
    edits: [
      {
        file: "runs/breakers/breaker.ts",
        from: "    if ((isClosed && this.#held.size === 0) || this.#admitted.has(runId)) {",
        to: '    if ((isClosed && this.#held.size === 0) || this.#state.kind === "open" || this.#admitted.has(runId)) {',
      },
    ],
  },
  {
    name: "a half-open breaker tries with everybody at once",
    edits: [
      {
        file: "runs/breakers/breaker.ts",
        from: "!this.#state.probing && this.#admitted.size === 0;",
        to: "!this.#state.probing;",
      },
    ],
  },
  {
    name: "a breaker never opens",
    edits: [
      {
        file: "runs/breakers/breaker.ts",
        from: "} else if (this.#window.addFailure(nowMs)) {",
        to: "} else if (this.#window.addFailure(nowMs) && this.#generation > 1_000) {",
      },
    ],
  },
  {
    name: "runs that a breaker has held go on all at once",
    edits: [
      {
        file: "runs/breakers/breaker.ts",
        from: "this.#waveSize === 0 || this.#waveFailed ? 1 : this.#waveSize * 2;",
        to: "this.#held.size;",
      },
    ],
  },
  {
    name: "a retry budget is never spent",
    edits: [
      {
        file: "runs/retry-budget.ts",
        from: "      this.#take();\n      if (runId !== awake) {",
        to: "      if (runId !== awake) {",
      },
    ],
  },
  {
    name: "a retry takes what there is where that is less than a token",
    edits: [
      {
        file: "runs/retry-budget.ts",
        from: "    this.#set(this.#tokensNow - 1);",
        to: "    this.#add(-1);",
      },
    ],
  },
  {
    name: "what a fallback has answered is dropped",
    edits: [
      {
        file: "runs/delegation.ts",
        from: "      const message = mapping.result(answer);",
        to: "      mapping.result(answer);\n      const message = fromBinary(workflow.output, new Uint8Array());",
      },
    ],
  },
  {
    name: "the last fallback is asked first",
    edits: [
      {
        file: "runs/fallback-tries.ts",
        from: "run.fallbacks.every((tried) => tried.workflow !== workflow));",
        to: "run.fallbacks.every((tried) => tried.workflow !== workflow))\n    .reverse();",
      },
    ],
  },
  {
    name: "a retake asks for as much as there was no memory for",
    edits: [
      {
        file: "runs/quality-levels/run-quality.ts",
        from: "? Math.min(level, outOfMemoryAt - 1) : level;",
        to: "? level : level;",
      },
    ],
  },
  {
    name: "min_quality is ignored",
    edits: [
      {
        file: "runs/quality-levels/run-quality.ts",
        from: "defaultQuality.min, accepted.minQuality, Quality.MINIMAL);",
        to: "defaultQuality.min, Quality.MINIMAL);",
      },
    ],
  },
  {
    name: "nobody is told which fields a quality has changed",
    edits: [
      {
        file: "interceptors/run/record.ts",
        from: "changedFields.slice(0, mostPaths) : changedFields,",
        to: "changedFields.slice(0, mostPaths) : nothing,",
      },
    ],
  },
  {
    name: "a recovery action is skipped",
    edits: [
      {
        file: "interceptors/run/recovery.ts",
        from: "rulesLeft(workflow.policy.recovery, failed)",
        to: "rulesLeft(workflow.policy.recovery.slice(1), failed)",
      },
    ],
  },
  {
    name: "recovery actions are done again",
    edits: [
      {
        file: "interceptors/run/recovery.ts",
        from: "rules.findLastIndex(({ action }) => recoveries.includes(action)) + 1",
        to: "recoveries.length === 99 ? 1 : 0",
      },
    ],
  },
  {
    name: "the cool-down of a recovery action is ignored",
    edits: [
      {
        file: "backends/recoveries.ts",
        from: "failedMs < known.ended.atMs + cooldownMs) {",
        to: "failedMs < known.ended.atMs) {",
      },
    ],
  },
  {
    name: "the cool-down of a recovery action goes by the wall clock",
    edits: [
      {
        file: "backends/recoveries.ts",
        from: "    const failedMs = clock.monotonic() - Math.max(0, clock.now() - failed.failedMs);",
        to: "    const { failedMs } = failed;",
      },
      {
        file: "backends/recoveries.ts",
        from: "atMs: this.#options.clock.monotonic()",
        to: "atMs: this.#options.clock.now()",
      },
    ],
  },
  {
    name: "a run is shown as woken before that is journaled",
    edits: [
      {
        file: "runs/turns.ts",
        from: "    run.commit(bodies);",
        to: "    if (bodies.length > 0) run.commit(bodies);",
      },
    ],
  },
  {
    name: "a run keeps its turn while its back-end recovers",
    edits: [
      {
        file: "interceptors/run/recovery.ts",
        from: `      return step;
    }`,
        to: `      turn.commit([]).catch(() => undefined);
      await new Promise<void>((resolve) => options.clock.setTimeout(resolve, 50));
      if (mustStop(request)) {
        return stopped("the run was stopped while its back-end recovered");
      }
      continue;
    }`,
      },
    ],
  },
  {
    name: "a run that waits for a recovery is not woken at its end",
    edits: [
      {
        file: "backends/recoveries.ts",
        from: "    for (const runId of flight.waiting) {",
        to: "    for (const runId of [...flight.waiting].slice(1)) {",
      },
    ],
  },
  {
    name: "what has come of a recovery is not told to those who waited for it",
    edits: [
      {
        file: "backends/recoveries.ts",
        from: "if (place >= 0 && flight.ended?.outcome !== undefined) {",
        to: "if (place === 99 && flight.ended?.outcome !== undefined) {",
      },
    ],
  },
  {
    name: "a drill goes on when its time is over",
    edits: [
      {
        file: "runs/faults.ts",
        from: "|| expireMs <= clock.now()) {",
        to: ") {",
      },
      {
        file: "runs/faults.ts",
        from: "      this.#end(id);\n    }, leftMs);",
        to: "    }, leftMs);",
      },
    ],
  },
  {
    name: "a permit leaks after a trial",
    edits: [
      {
        file: "interceptors/run/gate.ts",
        from: "      hold.end();\n      hold.settle(undefined);",
        to: "      if (!isTrial) {\n        hold.end();\n      }\n      hold.settle(undefined);",
      },
    ],
  },
  {
    name: "a slot is never given back",
    edits: [
      {
        file: "runs/embedded/gates.ts",
        from: "      pool.taken--;",
        to: '      pool.taken -= pool.gate === "endpoint" ? 0 : 1;',
      },
    ],
  },
  {
    name: "an endpoint that was taken out gets attempts",
    edits: [
      {
        file: "backends/endpoints.ts",
        from: "(!connection.healthy || connection.standing.ejection !== undefined);",
        to: "!connection.healthy;",
      },
    ],
  },
  {
    name: "an endpoint that is not healthy gets attempts",
    edits: [
      {
        file: "backends/endpoints.ts",
        from: "(!connection.healthy || connection.standing.ejection !== undefined);",
        to: "connection.standing.ejection !== undefined;",
      },
    ],
  },
  {
    name: "a run comes back to the endpoint that it has switched from",
    edits: [
      {
        file: "server/engine.ts",
        from: "            avoided === undefined\n",
        to: '            avoided !== ""\n',
      },
    ],
  },
  {
    name: "calls go by a connection that has been replaced",
    edits: [
      {
        file: "backends/endpoints.ts",
        from: "    const transport: Transport = {",
        to: "    const first = this.#channel;\n    const transport: Transport = {",
      },
      {
        file: "backends/endpoints.ts",
        from: "this.#channel.transport.unary(",
        to: "first.transport.unary(",
      },
    ],
  },
  {
    name: "the limit of a principal is ignored",
    edits: [
      {
        file: "interceptors/run/permit-limits.ts",
        from: "if (perPrincipal === Number.POSITIVE_INFINITY) {",
        to: "if (perPrincipal > 0) {",
      },
    ],
  },
  {
    name: "principals do not take turns",
    edits: [
      {
        file: "runs/embedded/waiting-tree.ts",
        from: "JSON.stringify([line.priority, line.owner.tenant, line.owner.subject])",
        to: "JSON.stringify([line.priority])",
      },
    ],
  },
  {
    name: "a run that cannot be read when its turn comes is forgotten",
    edits: [
      {
        file: "runs/turns.ts",
        from: "      if (this.#retake(runId) === 1) {",
        to: "      if (!this.#failedTurns.has(runId)) {",
      },
    ],
  },
  {
    name: "a run whose append has failed is forgotten",
    edits: [
      {
        file: "server/engine.ts",
        from: "        this.turns.readAnew(run);\n",
        to: "",
      },
    ],
  },
  {
    name: "a child is stored without what its parent says of it",
    edits: [{ file: "runs/attempt-work.ts", from: "      after: this.run,\n", to: "" }],
  },
  {
    name: "a fallback is stored without what its parent says of it",
    edits: [{ file: "runs/delegation.ts", from: "      after: parent,\n", to: "" }],
  },
  {
    name: "a run ends by an answer of its fallback that is not stored",
    edits: [{ file: "runs/delegation.ts", from: "      parent.follow(child);\n", to: "" }],
  },
  {
    name: "children are cancelled for an end of their parent that is not stored",
    edits: [
      {
        file: "runs/turns.ts",
        from: "            if (parent !== undefined) run.follow(parent);\n",
        to: "",
      },
    ],
  },
];

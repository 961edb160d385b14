import type { Invariant } from "../world/witness.ts";
import { attempts } from "./attempts.ts";
import { breakerTransitions } from "./breaker-transitions.ts";
import { breakerWaves } from "./breaker-waves.ts";
import { breakers } from "./breakers.ts";
import { callerGrace } from "./caller-grace.ts";
import { cancellation } from "./cancellation.ts";
import { checkpoints } from "./checkpoints.ts";
import { children } from "./children.ts";
import { deadlines } from "./deadlines.ts";
import { drains } from "./drains.ts";
import { drills } from "./drills.ts";
import { durableFirst } from "./durable-first.ts";
import { endpoints } from "./endpoints.ts";
import { ends } from "./ends.ts";
import { eventTable } from "./event-table.ts";
import { fairness } from "./fairness.ts";
import { fallbacks } from "./fallbacks.ts";
import { keys } from "./keys.ts";
import { limits } from "./limits.ts";
import { log } from "./log.ts";
import { noRunLost } from "./no-run-lost.ts";
import { quality } from "./quality.ts";
import { recoveries } from "./recoveries.ts";
import { results } from "./results.ts";
import { retryBudget } from "./retry-budget.ts";
import { returned } from "./returned.ts";
import { room } from "./room.ts";
import { silence } from "./silence.ts";
import { state } from "./state.ts";
import { steps } from "./steps.ts";
import { stopped } from "./stopped.ts";
import { waits } from "./waits.ts";
import { watching } from "./watching.ts";

/** What holds in every simulation. */
export const invariants: readonly Invariant[] = [
  durableFirst,
  noRunLost,
  eventTable,
  attempts,
  silence,
  waits,
  limits,
  fairness,
  endpoints,
  room,
  steps,
  results,
  checkpoints,
  children,
  keys,
  callerGrace,
  cancellation,
  stopped,
  deadlines,
  breakerTransitions,
  breakerWaves,
  breakers,
  retryBudget,
  fallbacks,
  quality,
  recoveries,
  drills,
  drains,
  returned,
  state,
  watching,
  log,
  ends,
];

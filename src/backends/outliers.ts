import type { Clock, Timer } from "../clock.ts";
import type { ResolvedOutlierDetection } from "../config/index.ts";
import type { Logger } from "../runs/index.ts";

/** How an endpoint does, as its attempts tell. */
export class Standing {
  /** Attempts in a row that have failed in a way that speaks against it. */
  failuresInRow = 0;
  /** Set while it is taken out. */
  ejection: Timer | undefined;
  /** Ejections in a row: each takes that much longer. */
  ejections = 0;
  backSinceMs = 0;
}

export interface OutlierMember {
  readonly target: string;
  readonly healthy: boolean;
  /** Absent for what is never taken out: a handler in this process. */
  readonly standing?: Standing;
}

/** The endpoints of one service. */
export interface OutlierGroup {
  readonly members: readonly OutlierMember[];
  /** Absent where nothing is taken out on account of this service. */
  readonly detection?: ResolvedOutlierDetection;
}

export interface OutliersOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** All groups that an endpoint belongs to. */
  groupsOf(target: string): readonly OutlierGroup[];
  /** Called when an endpoint is taken out, or back. */
  onChange(target: string): void;
}

/**
 * Takes endpoints out that fail where others do well, and back after a while, as gRFC A50 does by failures in a row: a
 * growing time, and a bounded share of the endpoints.
 *
 * 1. It needs another endpoint that does well: where all fail, it is the work that is bad.
 * 2. No service is left without an endpoint: those that were taken out come back early when the others go away.
 */
export class Outliers {
  readonly #options: OutliersOptions;

  constructor(options: OutliersOptions) {
    this.#options = options;
  }

  /** An attempt for a service has failed at an endpoint, in a way that speaks against it. */
  failed(target: string, standing: Standing, { members, detection }: OutlierGroup): void {
    standing.failuresInRow += 1;
    if (
      detection !== undefined &&
      standing.ejection === undefined &&
      standing.failuresInRow >= detection.consecutiveFailures &&
      members.some((other) => other.target !== target && isAvailable(other) && doesWell(other)) &&
      this.#options.groupsOf(target).every((group) => canSpare(target, group, detection))
    ) {
      this.#eject(target, standing, detection);
    }
  }

  /** An endpoint, or which there are, has changed: none stays out where none would be left. */
  reconsider(groups: Iterable<OutlierGroup>): void {
    for (const { members } of groups) {
      if (members.some(isAvailable)) {
        continue;
      }
      for (const { target, healthy, standing } of members) {
        if (healthy && standing?.ejection !== undefined) {
          standing.ejection.cancel();
          // What it has failed in a row counts on: where another one does well again, its next failure is enough.
          this.#takeBack(
            target,
            standing,
            "an endpoint that failed gets attempts again before its time: no other is left",
          );
        }
      }
    }
  }

  #takeBack(target: string, standing: Standing, message: string): void {
    const { clock, log, onChange } = this.#options;
    standing.ejection = undefined;
    standing.backSinceMs = clock.monotonic();
    log.info({ endpoint: target }, message);
    onChange(target);
  }

  #eject(target: string, standing: Standing, detection: ResolvedOutlierDetection): void {
    const { clock, log, onChange } = this.#options;
    const { baseEjectionMs, maxEjectionMs } = detection;
    // It lives ejections down, one for each time that the shortest of them takes.
    const livedDown = Math.floor((clock.monotonic() - standing.backSinceMs) / baseEjectionMs);
    standing.ejections = Math.max(0, standing.ejections - livedDown) + 1;
    const forMs = Math.min(baseEjectionMs * standing.ejections, Math.max(baseEjectionMs, maxEjectionMs));
    log.warn(
      { endpoint: target, failures: standing.failuresInRow, forMs },
      "an endpoint fails where others do well: it gets no attempts for a while",
    );
    standing.ejection = clock.setTimeout(() => {
      standing.failuresInRow = 0;
      this.#takeBack(target, standing, "an endpoint that failed gets attempts again");
    }, forMs);
    onChange(target);
  }
}

function isAvailable({ healthy, standing }: OutlierMember): boolean {
  return healthy && standing?.ejection === undefined;
}

function doesWell({ standing }: OutlierMember): boolean {
  return standing === undefined || standing.failuresInRow === 0;
}

function canSpare(
  target: string,
  { members }: OutlierGroup,
  { maxEjectionPercent }: ResolvedOutlierDetection,
): boolean {
  const out = members.filter(({ standing }) => standing?.ejection !== undefined).length;
  const most = maxEjectionPercent === 0 ? 0 : Math.max(1, Math.floor((members.length * maxEjectionPercent) / 100));
  return out < most && members.some((other) => other.target !== target && isAvailable(other));
}

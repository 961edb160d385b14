import { statfs } from "node:fs/promises";
import { overQuota } from "../artifacts/problems.ts";
import type { ArtifactQuotaError } from "../ports/artifacts.ts";
import type { RunOwner } from "../ports/journal.ts";
import type { Usage } from "./artifact-index.ts";
import { countedBytes } from "./counted-bytes.ts";

/** Bytes that may be stored, as they are counted. */
export interface QuotaSettings {
  /** Default: half of the file system. */
  readonly maxTotalBytes?: number | undefined;
  /** Default: half of all. */
  readonly maxBytesPerOwner?: number | undefined;
}

export interface QuotasOptions extends QuotaSettings {
  /** A folder of the file system. */
  readonly directory: string;
  /** What is stored now. Answers in the order of the questions, changes of it among them. */
  readonly usage: (owner: RunOwner) => Promise<Usage>;
}

interface Limits {
  readonly ofOwner: number;
  readonly inAll: number;
}

/** What a write is to bring. */
export interface Expected {
  /** How many bytes there are of it, of an upload whose row is counted. */
  readonly stored?: number;
  /** How many there will be, where that is known. */
  readonly size?: number;
}

/** What is stored is asked for anew after so many bytes. */
const staleBytes = 4 * 1024 * 1024;

/** Bounds what is stored, together with what is on its way to be. */
export class Quotas {
  readonly #options: QuotasOptions;
  /** Bytes on their way, by owner. */
  readonly #reserved = new Map<string, number>();
  #reservedInAll = 0;
  /** Bytes that were on their way and are no longer, ever: an answer from before may not have them. */
  #settled = 0;
  #limits: Promise<Limits> | undefined;

  constructor(options: QuotasOptions) {
    this.#options = options;
  }

  /**
   * For the bytes of one write; to be released.
   *
   * @throws ArtifactError
   */
  async reserve(owner: RunOwner, { stored, size = 0 }: Expected): Promise<Reservation> {
    this.#limits ??= this.#findLimits().catch((error: unknown) => {
      // The next one asks again.
      this.#limits = undefined;
      throw error;
    });
    const limits = await this.#limits;
    const account: Account = {
      usage: () => this.#options.usage(owner),
      settled: () => this.#settled,
      change: (bytes) => this.#change(owner, bytes),
      problem: (usage, more) => this.#problem(owner, usage, more, limits),
    };
    // Nobody else has seen the row.
    if (stored !== undefined) this.#settled += countedBytes(stored);
    const reservation = new Reservation(account, stored);
    try {
      await reservation.check(size);
    } catch (error) {
      reservation.settle();
      throw error;
    }
    return reservation;
  }

  async #findLimits(): Promise<Limits> {
    const { maxTotalBytes, maxBytesPerOwner, directory } = this.#options;
    const inAll = maxTotalBytes ?? (await bytesOf(directory)) / 2;
    return { inAll, ofOwner: Math.min(inAll, maxBytesPerOwner ?? inAll / 2) };
  }

  #change(owner: RunOwner, bytes: number): void {
    const key = keyOf(owner);
    const reserved = (this.#reserved.get(key) ?? 0) + bytes;
    if (reserved === 0) this.#reserved.delete(key);
    else this.#reserved.set(key, reserved);
    this.#reservedInAll += bytes;
    if (bytes < 0) this.#settled -= bytes;
  }

  #problem(owner: RunOwner, usage: Usage, more: number, { ofOwner, inAll }: Limits): ArtifactQuotaError | undefined {
    if (usage.ofOwner + (this.#reserved.get(keyOf(owner)) ?? 0) + more > ofOwner) return overQuota(ofOwner, owner);
    if (usage.inAll + this.#reservedInAll + more > inAll) return overQuota(inAll);
    return undefined;
  }
}

interface Account {
  readonly usage: () => Promise<Usage>;
  /** How many bytes, of all writes, have ever come to be stored. */
  readonly settled: () => number;
  /** Counts bytes that are on their way, or are no longer. */
  readonly change: (bytes: number) => void;
  /** What is wrong with so many more. */
  readonly problem: (usage: Usage, more: number) => ArtifactQuotaError | undefined;
}

/** What one write has on its way. */
export class Reservation {
  readonly #account: Account;
  #usage: Usage | undefined;
  #sinceAsked = 0;
  #settledWhenAsked = 0;
  /** Of the file, with what comes. */
  #size: number;
  /** Of those, as they are counted, what is on its way. */
  #reserved = 0;
  /** And what is counted as stored. */
  #stored: number;

  constructor(account: Account, stored?: number) {
    this.#account = account;
    this.#size = stored ?? 0;
    this.#stored = stored === undefined ? 0 : countedBytes(stored);
    this.#reserve();
  }

  /** @throws ArtifactError where the file cannot have so many bytes, nor what it has */
  async check(size = 0): Promise<void> {
    // Before the question: what settles meanwhile may be in the answer, or not.
    const settled = this.#account.settled();
    this.#usage = await this.#account.usage();
    this.#settledWhenAsked = settled;
    this.#sinceAsked = 0;
    const more = Math.max(0, countedBytes(size) - countedBytes(this.#size));
    const problem = this.#account.problem(this.#usage, more);
    if (problem !== undefined) throw problem;
  }

  /** Counts bytes that come. @throws ArtifactError where they are too many */
  async take(bytes: number): Promise<void> {
    this.#size += bytes;
    this.#sinceAsked += bytes;
    this.#reserve();
    if (!this.#surelyFits()) await this.check();
  }

  /** All that came so far is stored, and counted there. */
  settle(): void {
    this.#account.change(-this.#reserved);
    this.#stored += this.#reserved;
    this.#reserved = 0;
    this.#usage = undefined;
  }

  #reserve(): void {
    const reserved = countedBytes(this.#size) - this.#stored;
    this.#account.change(reserved - this.#reserved);
    this.#reserved = reserved;
  }

  /** By the last answer, with all that others have had stored since as if it were this owner's: it is not in that answer. */
  #surelyFits(): boolean {
    const settled = this.#account.settled() - this.#settledWhenAsked;
    return (
      this.#usage !== undefined &&
      this.#sinceAsked + settled < staleBytes &&
      this.#account.problem(this.#usage, settled) === undefined
    );
  }
}

/** Of the whole file system. */
async function bytesOf(directory: string): Promise<number> {
  const { blocks, bsize } = await statfs(directory);
  return blocks * bsize;
}

function keyOf({ tenant, subject }: RunOwner): string {
  return `${tenant}\0${subject}`;
}

import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import type { Journal, Logger } from "../runs/index.ts";
import {
  AdminKeyFile,
  ApiKeyAuthenticator,
  ApiKeys,
  type Audit,
  type Authenticator,
  createKey,
  Lockout,
  StoredLockouts,
} from "../security/index.ts";

/** An admin key that the server has made by itself. */
export interface FirstAdminKey {
  readonly key: string;
  readonly keyId: string;
  /** The file that has a copy of it. */
  readonly path: string;
}

export interface AuthenticationOptions {
  readonly config: ResolvedConfig;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  readonly audit: Audit;
  /** Whether there is a data directory that can have a copy of an admin key. */
  readonly embedded: boolean;
  /** Make an admin key, whatever keys there are. */
  readonly newAdminKey: boolean;
  /** Told of one that is made, at once. */
  readonly onAdminKey: (made: FirstAdminKey) => void;
}

/** Everything by which callers are known, ready. */
export class Authentication {
  /** Absent where the server takes none. */
  readonly apiKeys: ApiKeys | undefined;
  readonly adminKeyFile: AdminKeyFile | undefined;
  readonly lockout: Lockout | undefined;
  readonly authenticators: readonly Authenticator[];
  readonly audit: Audit;
  readonly #options: AuthenticationOptions;
  readonly #lockouts: StoredLockouts | undefined;

  constructor(options: AuthenticationOptions) {
    const { config, clock, audit } = options;
    const { apiKeys, lockout } = config.security;
    this.#options = options;
    this.audit = audit;
    this.apiKeys = apiKeys && new ApiKeys(options);
    this.lockout = lockout && new Lockout({ settings: lockout, clock });
    this.#lockouts = this.lockout && new StoredLockouts({ ...options, lockout: this.lockout });
    this.adminKeyFile = apiKeys && options.embedded ? new AdminKeyFile(config.dataDirectory) : undefined;
    this.authenticators = this.apiKeys === undefined ? [] : [new ApiKeyAuthenticator({ keys: this.apiKeys, clock })];
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    await this.apiKeys?.open();
    await this.#lockouts?.open();
  }

  /** Makes a key for the operator of a first start, once that is known to be one. */
  async start(): Promise<void> {
    if (this.#needsAdminKey()) await this.#makeAdminKey();
  }

  /** Lets refusals go that are held back: connections are about to close. */
  release(): void {
    this.lockout?.close();
  }

  /** Stores what is not stored yet. */
  async close(): Promise<void> {
    this.release();
    await this.#lockouts?.close();
    await this.apiKeys?.close();
  }

  #needsAdminKey(): boolean {
    const { config, newAdminKey } = this.#options;
    const { apiKeys, anonymousLevel } = config.security;
    if (apiKeys === undefined || this.adminKeyFile === undefined) return false;
    // Nobody who shows a key reaches a server without ports, and where everybody is one nobody needs a key.
    const needed = (config.grpc !== undefined || config.web !== undefined) && anonymousLevel !== AccessLevel.ADMIN;
    return newAdminKey || (needed && apiKeys.bootstrap && this.apiKeys?.size === 0);
  }

  async #makeAdminKey(): Promise<void> {
    const { apiKeys, adminKeyFile } = this;
    if (apiKeys === undefined || adminKeyFile === undefined) return;
    const key = createKey(this.#options.random);
    // The file first: a crash in between must not leave a store that has a key which nobody knows.
    await adminKeyFile.write(key.text);
    const { text, record } = await apiKeys.create(
      {
        label: "made by the server itself",
        tenant: "default",
        subject: "admin",
        level: AccessLevel.ADMIN,
        groups: [],
        workflows: [],
        requestedBy: "first-start",
      },
      key,
    );
    this.audit.record({
      action: "key.create",
      outcome: "granted",
      principal: { ...record.principal, subject: "first-start", authentication: "in_process" },
      resource: record.id,
      source: "",
    });
    this.#options.onAdminKey({ key: text, keyId: record.id, path: adminKeyFile.path });
  }
}

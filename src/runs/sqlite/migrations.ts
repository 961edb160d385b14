export interface Migration {
  /** Counts 1, 2, 3, …: the format of the database after it. */
  readonly version: number;
  readonly sql: string;
}

/**
 * How the database came to be what it is. A released migration never changes; what comes later is a new one.
 *
 * Indexes are chosen for what they cost each run. All of them together cost an empty run a fifth of its time in this
 * file and a third more bytes in the log; the dearest is that of owners, since many owners have a page each.
 * - No index finds succeeded runs, which is what most are: they are met by walking back from the newest. Behind a million
 *   open runs that takes a quarter of a second in small steps; an index would cost every run as much as any two others.
 * - Workflows and owners are numbers, since their names would be repeated in each row and twice in the indexes.
 * - Events that are appended together share a row: each row less is a tenth of the cost of a run.
 */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

      CREATE TABLE workflows (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

      CREATE TABLE owners (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        subject TEXT NOT NULL,
        UNIQUE (tenant, subject)
      ) STRICT;

      -- Runs have positions from 0 on, which order them by time; other streams count down from -1.
      CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        last_sequence INTEGER NOT NULL,
        state INTEGER,
        workflow INTEGER,
        owner INTEGER,
        key TEXT,
        parent TEXT,
        retire_at INTEGER
      ) STRICT;

      -- 7 is SUCCEEDED.
      CREATE INDEX streams_by_state ON streams (state) WHERE state <> 7;
      CREATE INDEX streams_by_workflow ON streams (workflow) WHERE workflow IS NOT NULL;
      CREATE INDEX streams_by_owner ON streams (owner) WHERE owner IS NOT NULL;
      CREATE INDEX streams_by_key ON streams (owner, workflow, key) WHERE key IS NOT NULL;
      CREATE INDEX streams_by_parent ON streams (parent) WHERE parent IS NOT NULL;
      CREATE INDEX streams_by_retirement ON streams (retire_at) WHERE retire_at IS NOT NULL;

      -- A row holds the records of one append, up to number "last".
      CREATE TABLE events (
        stream INTEGER NOT NULL,
        last INTEGER NOT NULL,
        count INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (stream, last)
      ) STRICT, WITHOUT ROWID;

      -- Streams that are gone, whose events are still being deleted.
      CREATE TABLE deletions (stream INTEGER PRIMARY KEY) STRICT;

      -- Without data the payload is in a file.
      CREATE TABLE payloads (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL,
        sha256 BLOB NOT NULL,
        size INTEGER NOT NULL,
        data BLOB,
        UNIQUE (run, sha256)
      ) STRICT;
      CREATE INDEX payloads_in_files ON payloads (sha256) WHERE data IS NULL;
    `,
  },
];

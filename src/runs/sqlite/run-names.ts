import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { RunOwner } from "../ports/journal.ts";

/** Owners that are remembered: the ones that are busy, not all there ever were. */
const rememberedOwners = 10_000;

/** The numbers that workflows and owners have in the database. */
export class RunNames {
  readonly #workflowIds = new Map<string, number>();
  readonly #workflowNames = new Map<number, string>();
  readonly #ownerIds = new Map<string, number>();
  readonly #findWorkflow: StatementSync;
  readonly #nameWorkflow: StatementSync;
  readonly #addWorkflow: StatementSync;
  readonly #findOwner: StatementSync;
  readonly #ownersIn: StatementSync;
  readonly #addOwner: StatementSync;
  readonly #deleteOwner: StatementSync;

  constructor(database: DatabaseSync) {
    this.#findWorkflow = database.prepare("SELECT id FROM workflows WHERE name = ?");
    this.#nameWorkflow = database.prepare("SELECT name FROM workflows WHERE id = ?");
    this.#addWorkflow = database.prepare("INSERT INTO workflows (name) VALUES (?)");
    this.#findOwner = database.prepare("SELECT id FROM owners WHERE tenant = ? AND subject = ?");
    this.#ownersIn = database.prepare("SELECT id FROM owners WHERE tenant = ? LIMIT ?");
    this.#addOwner = database.prepare("INSERT INTO owners (tenant, subject) VALUES (?, ?)");
    this.#deleteOwner = database.prepare(
      "DELETE FROM owners WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM streams WHERE owner = ?1)",
    );
  }

  /** The number of a workflow, given to it if it has none. */
  workflowId(name: string): number {
    return this.findWorkflowId(name) ?? this.#keepWorkflow(Number(this.#addWorkflow.run(name).lastInsertRowid), name);
  }

  findWorkflowId(name: string): number | undefined {
    const known = this.#workflowIds.get(name);
    if (known !== undefined) {
      return known;
    }
    const id = this.#findWorkflow.get(name)?.["id"];
    return id === undefined ? undefined : this.#keepWorkflow(Number(id), name);
  }

  workflowName(id: number): string {
    const known = this.#workflowNames.get(id);
    if (known !== undefined) {
      return known;
    }
    const name = String(this.#nameWorkflow.get(id)?.["name"]);
    this.#keepWorkflow(id, name);
    return name;
  }

  /** The number of an owner, given to it if it has none. */
  ownerId(owner: RunOwner): number {
    return (
      this.findOwnerId(owner) ??
      this.#keepOwner(Number(this.#addOwner.run(owner.tenant, owner.subject).lastInsertRowid), owner)
    );
  }

  findOwnerId(owner: RunOwner): number | undefined {
    const known = this.#ownerIds.get(ownerKey(owner));
    if (known !== undefined) {
      return known;
    }
    const id = this.#findOwner.get(owner.tenant, owner.subject)?.["id"];
    return id === undefined ? undefined : this.#keepOwner(Number(id), owner);
  }

  /** The owners in a tenant, at most so many. */
  ownerIdsIn(tenant: string, limit: number): readonly number[] {
    return this.#ownersIn.all(tenant, limit).map((row) => Number(row["id"]));
  }

  /** Deletes an owner who has no runs: nothing of a person stays longer than what they have started. */
  releaseOwner(id: number): void {
    if (this.#deleteOwner.run(id).changes !== 0) {
      this.#ownerIds.clear();
    }
  }

  /** Forgets what is remembered, because a rollback may have taken it back. */
  forget(): void {
    this.#workflowIds.clear();
    this.#workflowNames.clear();
    this.#ownerIds.clear();
  }

  #keepWorkflow(id: number, name: string): number {
    this.#workflowIds.set(name, id);
    this.#workflowNames.set(id, name);
    return id;
  }

  #keepOwner(id: number, owner: RunOwner): number {
    if (this.#ownerIds.size >= rememberedOwners) {
      this.#ownerIds.clear();
    }
    this.#ownerIds.set(ownerKey(owner), id);
    return id;
  }
}

function ownerKey({ tenant, subject }: RunOwner): string {
  return `${tenant.length} ${tenant}${subject}`;
}

import { createEmbeddedGates } from "../../../src/runs/embedded/gates.ts";
import { describeGates } from "../ports/gates-contract.ts";

describeGates("the embedded gates", (scheduler) => createEmbeddedGates({ scheduler }));

import { MemoryArtifacts } from "../../../src/runs/memory/memory-artifacts.ts";
import { describeArtifacts } from "../ports/artifacts-contract.ts";

describeArtifacts("the storage in memory", (clock, maxBytes) => new MemoryArtifacts({ clock, maxBytes }));

import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { compiledRules } from "../../src/contract/compiled-rules.ts";
import { ContractError } from "../../src/contract/contract-error.ts";
import { createContractRegistry } from "../../src/contract/registry.ts";
import { compileContracts, contractSource } from "./compile-contracts.ts";

const workflow = "option (retake.v1.workflow) = {};";
const oneService = (name: string, rule: string) =>
  contractSource(
    name,
    `service S { rpc M(In) returns (In) { ${workflow} } } message In { string text = 1 [(buf.validate.field).string.${rule}]; }`,
  );

const compiled = await compileContracts({
  "sound.proto": oneService("sound", "min_len = 2"),
  "broken.proto": oneService("broken", 'pattern = "("'),
});
const service = (name: string) => {
  const found = compiled.getService(name);
  if (found === undefined) throw new Error(`no service ${name}`);
  return found;
};

describe("compiled rules", () => {
  const sound = service("sound.S").file;
  const broken = service("broken.S").file;

  it("are shared by all that read the same files, and by no others", () => {
    const rules = compiledRules([broken, sound]);
    expect(compiledRules([broken, sound])).toBe(rules);
    expect(compiledRules([sound])).not.toBe(rules);
    expect(compiledRules([broken])).not.toBe(rules);
    expect(compiledRules([])).not.toBe(compiledRules([]));
  });

  it("hold for each registry that shares them", () => {
    const [one, other] = [1, 2].map(() => createContractRegistry({ services: [service("sound.S")] }));
    expect(other?.validator).toBe(one?.validator);
    const [{ input } = expect.fail()] = service("sound.S").methods;
    expect(one?.validator.validate(input, create(input)).kind).toBe("invalid");
  });

  it("that are broken are told of each time that they are read", () => {
    const read = () => createContractRegistry({ services: [service("broken.S")] });
    expect(read).toThrow(ContractError);
    expect(read).toThrow(/In\.text: has the rule pattern: "\("/);
  });
});

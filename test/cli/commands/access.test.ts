import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { everyoneIsAdmin } from "../../everyone-is-admin.ts";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
beforeAll(async () => {
  const rules = { leads: { tenant: "*", groups: ["leads"], level: AccessLevel.PRIVILEGED } };
  server = await startServer({}, {}, { config: { security: { ...everyoneIsAdmin, access: { rules } } } });
});
afterAll(() => server[Symbol.asyncDispose]());

const retake = (...argv: string[]) => cli(["access", ...argv], { env: server.env });

describe("retake access", () => {
  it("lists the rules of the configuration", async () => {
    expect((await retake("list")).stdout).toMatch(
      /^NAME .*\nleads +group leads \(every tenant\) +PRIVILEGED +configuration *\n$/,
    );
  });

  it("sets, shows and deletes a rule", async () => {
    const method = "retake.v1.AdminService/ForceBreaker";
    const flags = ["--subject", "alice", "--subject", "bob", "--method", method, "--level", "authenticated"];
    const set = await retake("set", "breakers", ...flags, "--reason", "on call");
    expect(set).toMatchObject({ exitCode: 0, stderr: "Take it back: retake access delete breakers\n" });
    expect(set.stdout).toMatch(
      /^Rule {6}breakers\nFor {7}alice, bob\nGives {5}AUTHENTICATED, retake\.v1\.AdminService\/ForceBreaker\nRevision {2}1\nSet {7}by anonymous, \d{4}-.*\nReason {4}on call\n$/,
    );
    expect((await retake("list", "breakers")).stdout).toBe(set.stdout);
    expect(jsonLines((await retake("list", "--json")).stdout)).toMatchObject([
      { name: "breakers", rule: { subjects: ["alice", "bob"], methods: [method] }, revision: "1" },
      { name: "leads", source: "ACCESS_RULE_SOURCE_CONFIG" },
    ]);
    const deleted = await retake("delete", "breakers", "--revision", "1");
    expect(deleted.stdout).toBe("the rule breakers gives nobody anything any more\n");
    expect(await retake("list", "breakers")).toMatchObject({ exitCode: 4 });
  });

  it.each([
    [["set", "x", "--level", "admin"], "the rule is for nobody: give --subject or --group"],
    [["set", "x", "--subject", "a"], "the rule gives nothing: give --level or --method"],
    [["set", "x", "--subject", "a", "--level", "admni"], 'there is no level "admni"; did you mean admin?'],
    [["set", "x", "--subject", "a", "--level", "boss"], "there are public, authenticated, privileged, admin"],
    [["set", "x", "--subject", "a", "--method", "retake.v1.AdminService/ForceBraker"], "Did you mean"],
    [["set", "leads", "--subject", "a", "--level", "admin"], "is in the configuration (security.access.rules)"],
    [["delete", "none"], 'operators have set no rule "none"'],
  ])("%j is refused in words", async (argv, words) => {
    const { exitCode, stderr } = await retake(...argv);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(words);
  });
});

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { AdminKeyFile } from "../../../src/security/index.ts";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
let directory: string;
let env: Readonly<Record<string, string>>;
beforeAll(async () => {
  server = await startServer();
  directory = await mkdtemp(join(tmpdir(), "retake-keys-"));
  const { key } = await createClient(AdminService, server.server.transport).createApiKey({
    subject: "boss",
    level: AccessLevel.ADMIN,
  });
  env = { ...server.env, RETAKE_API_KEY: key };
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const keys = (...argv: string[]) => cli(["keys", ...argv], { env });
const idOf = (key: string) => key.split("_")[1] ?? "";

/** Who may list keys with this one. */
async function tries(key: string): Promise<string> {
  const { exitCode, stderr } = await cli(["keys", "list"], { env: { ...server.env, RETAKE_API_KEY: key } });
  return exitCode === 0 ? "taken" : stderr;
}

describe("retake keys", () => {
  it("makes a key that is alone on standard output, lists, rotates and revokes it", async () => {
    const made = await keys(
      "create",
      "ana",
      "--level",
      "Admin",
      "--label",
      "laptop",
      "--expires",
      "90d",
      "--group",
      "art",
    );
    const key = made.stdout.trimEnd();
    expect(made.stdout).toMatch(/^rtk_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}\n$/);
    expect(made.stderr).toContain("Subject     ana\nLevel       ADMIN\nGroups      art\nLabel       laptop\n");
    expect(made.stderr).toMatch(/State {7}active, ends in (89|90) d/);
    expect(made.stderr).toContain(`Revoke it: retake keys revoke ${idOf(key)}\n`);
    expect(made.stderr).not.toContain(key);
    expect(await tries(key)).toBe("taken");

    const listed = await keys("list", "--subject", "ana");
    expect(listed.stdout).toMatch(
      new RegExp(`^KEY ID .*\\n${idOf(key)} +ana +ADMIN +active +\\d{4}-[-: \\d]+ +now +default +laptop\\n$`),
    );

    const rotated = await keys("rotate", idOf(key), "--overlap", "1h");
    const next = rotated.stdout.trimEnd();
    expect(rotated.stderr).toContain(`Replaces    ${idOf(key)}\n`);
    expect(rotated.stderr).toMatch(/The old one is taken until \d{4}-/);
    expect([await tries(key), await tries(next)]).toEqual(["taken", "taken"]);

    const revoked = await keys("revoke", idOf(key), "--reason", "lost");
    expect(revoked.stdout).toMatch(/State {7}revoked by boss, \d{4}-[-: \d]+: lost\n/);
    expect(await tries(key)).toMatch(/^retake: the credentials of this call are not accepted.*\n {2}Name who you are/);
    expect(await tries(next)).toBe("taken");
    expect((await keys("list", "--subject", "ana")).stdout).not.toContain(idOf(key));
    expect((await keys("list", "--subject", "ana", "--all")).stdout).toContain("revoked");
  });

  it("limits a key to workflows by the ends of their names", async () => {
    const { stderr } = await keys("create", "farm", "--workflow", "Plain", "--workflow", "Flaky", "--tenant", "studio");
    expect(stderr).toContain("Subject     farm of studio\n");
    expect(stderr).toContain("retake.test.v1.WorkflowsService/Plain, retake.test.v1.WorkflowsService/Flaky\n");
  });

  it("prints protobuf JSON with --json", async () => {
    const [made] = jsonLines((await keys("create", "json", "--json")).stdout) as [
      { key: string; apiKey: { keyId: string } },
    ];
    const { keyId } = made.apiKey;
    expect(made).toMatchObject({ key: expect.stringMatching(/^rtk_/), apiKey: { subject: "json", keyId } });
    const listed = await keys("list", "--subject", "json", "--json");
    expect(jsonLines(listed.stdout)).toMatchObject([{ keyId, state: "API_KEY_STATE_ACTIVE" }]);
    expect(listed.stdout).not.toContain(made.key);
    const [rotated] = jsonLines((await keys("rotate", keyId, "--json", "--overlap", "0s")).stdout);
    expect(rotated).toMatchObject({ apiKey: { replaces: keyId }, replaced: { state: "API_KEY_STATE_EXPIRED" } });
    const [revoked] = jsonLines((await keys("revoke", keyId, "--json")).stdout);
    expect(revoked).toMatchObject({ keyId, state: "API_KEY_STATE_REVOKED", revokedBy: "boss" });
  });

  it.each([
    [["create"], 2, "SUBJECT"],
    [["create", "ana", "--level", "public"], 2, '--level: "public" is no level of a key'],
    [["create", "ana", "--expires", "soon"], 2, '--expires: "soon" is no duration'],
    [["create", "ana", "--expires", "1s"], 2, "ttl"],
    [["create", "ana bob"], 2, "subject"],
    [["create", "ana", "--workflow", "Plane"], 4, "there is no workflow"],
    [["rotate", "nobody"], 4, 'there is no API key "nobody"'],
    [["revoke", "nobody"], 4, 'there is no API key "nobody"'],
    [["list", "--subject", "nobody"], 0, "There are no such keys"],
  ])("%j says what is wrong", async (argv, exitCode, message) => {
    const refused = await keys(...argv);
    expect(refused.stderr).toContain(message);
    expect(refused.exitCode).toBe(exitCode);
    expect(refused.stdout).toBe("");
  });

  it("does not revoke the last admin key unless it is forced", async () => {
    const alone = await startServer();
    const { key } = await createClient(AdminService, alone.server.transport).createApiKey({
      subject: "ops",
      level: AccessLevel.ADMIN,
    });
    const as = { env: { ...alone.env, RETAKE_API_KEY: key } };
    const refused = await cli(["keys", "revoke", idOf(key)], as);
    expect([refused.exitCode, refused.stderr]).toEqual([6, expect.stringContaining("the last one of level ADMIN")]);
    expect((await cli(["keys", "revoke", idOf(key), "--force"], as)).exitCode).toBe(0);
    await alone[Symbol.asyncDispose]();
  });

  it("says of a key with a typo that it is none", async () => {
    const typo = (env["RETAKE_API_KEY"] ?? "").replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    expect(await tries(typo)).toContain("this is no API key: its checksum is wrong");
  });
});

describe("the key of this machine's command line", () => {
  const data = (name: string) => join(directory, name);
  const configOf = async (name: string, text = `data_directory: ${data(name)}\n`) => {
    const file = join(directory, `${name}.yaml`);
    await writeFile(file, text);
    return file;
  };
  // Nothing is said about a key, not even that there is none.
  const unsaid = (argv: string[]) =>
    cli(argv, { env: { ...server.env, RETAKE_API_KEY: undefined } as unknown as Record<string, string> });

  it("is that in the data directory of the configuration, for a server of this machine", async () => {
    const config = await configOf("own");
    await mkdir(data("own"));
    await new AdminKeyFile(data("own")).write(env["RETAKE_API_KEY"] ?? "");
    const made = await unsaid(["keys", "create", "local", "--config", config]);
    expect(made.exitCode).toBe(0);
    expect(made.stderr).toContain("Made        by boss, ");
    expect(made.stderr).toContain(`--config ${config}\n`);
  });

  it("goes to no other machine: a server there is called as by anybody", async () => {
    const config = await configOf("own");
    const { stderr, exitCode } = await unsaid(["keys", "list", "--config", config, "--target", "gpu.invalid:1"]);
    expect(exitCode).toBe(3);
    expect(stderr).not.toContain("in plain text");
  });

  it("gives way to a key that is named", async () => {
    const config = await configOf("own");
    const { stderr } = await unsaid(["keys", "list", "--config", config, "--api-key", "x"]);
    expect(stderr).toContain("of no kind that the server takes");
  });

  it("is none where the file has none, and a configuration that is named must be one", async () => {
    const nowhere = await unsaid(["keys", "list", "--config", await configOf("nowhere")]);
    expect(nowhere.stderr).not.toContain("no such file");
    const broken = await unsaid(["keys", "list", "--config", await configOf("broken", "data: [")]);
    expect([broken.exitCode, broken.stderr]).toEqual([2, expect.stringContaining("broken.yaml")]);
    expect((await unsaid(["keys", "list", "--config", join(directory, "missing.yaml")])).exitCode).toBe(2);
  });
});

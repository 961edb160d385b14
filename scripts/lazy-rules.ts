import type { Plugin } from "rolldown";

interface Change {
  readonly from: string;
  readonly to: string;
}

/** A rule's expression is compiled by one function, and what comes out is evaluated by one. */
const expressions: readonly Change[] = [
  {
    from: "compileRule(ruleOrExpr) {",
    to: "compileRule(ruleOrExpr) { return { make: () => this.compileNow(ruleOrExpr), made: undefined }; } compileNow(ruleOrExpr) {",
  },
  {
    from: "eval(compiled) {",
    to: "eval(rule) { return this.evalCompiled(rule.made ??= rule.make()); } evalCompiled(compiled) {",
  },
];

/** A pattern is tried on the empty string as soon as a rule has it. */
const patterns: readonly Change[] = [{ from: 'regexMatch(src, "");', to: "" }];

/**
 * Lets protovalidate compile the expressions and patterns of rules when a value first meets them. It compiles all rules of
 * a kind (57 for a string) as soon as a field has one of them, and those of messages that are not set, which takes more
 * than 100 ms of a start; nearly all of the standard ones are then checked by code of its own instead. What is checked
 * stays the same, and so does when an expression that does not compile is told: protovalidate keeps that for the
 * evaluation, too. The tests of src/ run with protovalidate as it is, those of the package with this.
 */
export function lazyRules(): Plugin {
  return {
    name: "lazy-rules",
    transform: {
      filter: { id: /@bufbuild[\\/]protovalidate[\\/]dist[\\/]esm[\\/](cel|native[\\/]string)\.js$/ },
      handler: (code, id) => ({ code: changed(code, /cel\.js$/.test(id) ? expressions : patterns), map: null }),
    },
  };
}

/** Nothing moves to another line. @throws Error when protovalidate's code is another than this was written for */
function changed(code: string, changes: readonly Change[]): string {
  return changes.reduce((text, { from, to }) => {
    if (text.split(from).length !== 2) {
      throw new Error("protovalidate compiles its rules in another way now: see scripts/lazy-rules.ts");
    }
    return text.replace(from, to);
  }, code);
}

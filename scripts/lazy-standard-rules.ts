import type { Plugin } from "rolldown";

/** Where protovalidate lists the standard rules of one kind of field, before those that contracts predefine. */
const eager = /(standard\.push\(\{\s*field,\s*rule,\s*)compiled: this\.compileRule\(rule\),/;
const onDemand = "$1make: () => this.compileRule(rule), get compiled() { return (this.made ??= this.make()); },";

/**
 * Lets protovalidate compile a standard rule when a message is planned that uses it. It compiles all rules of a kind (57
 * for a string) as soon as a field has one of them, which takes 50 to 100 ms for the configuration alone, and then checks
 * nearly all of them by code of its own instead. What is checked, and when a rule that does not compile is found, stays
 * the same. The tests of src/ run with protovalidate as it is, those of the package with this.
 */
export function lazyStandardRules(): Plugin {
  return {
    name: "lazy-standard-rules",
    transform: {
      filter: { id: /@bufbuild[\\/]protovalidate[\\/]dist[\\/]esm[\\/]cel\.js$/ },
      handler(code) {
        const lazy = code.replace(eager, onDemand);
        if (lazy === code) {
          throw new Error(
            "protovalidate compiles its standard rules in another way now: see scripts/lazy-standard-rules.ts",
          );
        }
        // Nothing has moved to another line.
        return { code: lazy, map: null };
      },
    },
  };
}

import { getExtension } from "@bufbuild/protobuf";
import type { GenExtension } from "@bufbuild/protobuf/codegenv2";
import type { StringRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import {
  media_type,
  media_type_in,
  public_url,
  safe_file_name,
  safe_path,
  safe_text,
} from "../../../gen/retake/v1/rules_pb.js";

/** The import that these rules need. */
export const rulesFile = "retake/v1/rules.proto";

type Flag = GenExtension<StringRules, boolean>;

/** Rules of `retake/v1/rules.proto`, each with the names of the strings that it is meant for. */
const flags: readonly (readonly [names: RegExp, rule: Flag])[] = [
  [/(^|_)(ur[il]|link|href)s?$/, public_url],
  [/(^|_)file_?names?$/, safe_file_name],
  [/(^|_)paths?$/, safe_path],
  [/(^|_)(media|mime|content)_types?$/, media_type],
  [/(^|_)(text|prompt|title|caption|description|comment|lyrics|script|narration|message)s?$/, safe_text],
];

/** The rule for a string that is called so, in protobuf's text form. */
export function ruleByName(name: string): string | undefined {
  const found = flags.find(([names]) => names.test(name));
  return found && `[${found[1].typeName}]: true`;
}

/** Whether one of these rules limits the string already. */
export function isLimitedByRule(rules: StringRules): boolean {
  return flags.some(([, rule]) => getExtension(rules, rule)) || getExtension(rules, media_type_in).types.length > 0;
}

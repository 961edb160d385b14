export { anonymous, type Principal, principalKey } from "./principal.ts";

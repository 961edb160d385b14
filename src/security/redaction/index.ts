export { createTextRedactor, remembering, type TextRedactor, type TextRedactorOptions } from "./text-redactor.ts";

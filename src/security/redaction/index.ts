export { createTextRedactor, type TextRedactor, type TextRedactorOptions } from "./text-redactor.ts";

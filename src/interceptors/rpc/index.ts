export { authenticate } from "./authenticate.ts";
export { errors } from "./errors.ts";
export { createRequestValidator, type RequestValidator, validateRequests } from "./validate.ts";

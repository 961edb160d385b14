export { authenticate } from "./authenticate.ts";
export { errors } from "./errors.ts";
export { limitRates } from "./rate-limit.ts";
export { assertKnownFields, refuseUnknownFields } from "./unknown-fields.ts";
export { createRequestValidator, type RequestValidator, validateRequests } from "./validate.ts";

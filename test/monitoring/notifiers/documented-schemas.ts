/** What is wrong with a value, each with where; nothing for one that is right. */
type Check = (value: unknown, at: string) => string[];

/** What is wrong with the body of a post. */
export type SchemaCheck = (body: unknown) => string[];

const text =
  ({ least = 0, most = Number.POSITIVE_INFINITY } = {}): Check =>
  (value, at) => {
    if (typeof value !== "string") return [`${at} is no text`];
    const { length } = value;
    return length < least || length > most ? [`${at} has ${length} characters, not ${least} to ${most}`] : [];
  };

const oneOf =
  (...values: readonly unknown[]): Check =>
  (value, at) =>
    values.includes(value) ? [] : [`${at} is ${JSON.stringify(value)}, not one of ${values.join(", ")}`];

const matching =
  (pattern: RegExp): Check =>
  (value, at) =>
    typeof value === "string" && pattern.test(value) ? [] : [`${at} is ${JSON.stringify(value)}, not ${pattern}`];

const wholeNumber: Check = (value, at) =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? [] : [`${at} is no whole number`];

const bool: Check = (value, at) => (typeof value === "boolean" ? [] : [`${at} is neither true nor false`]);

const listOf =
  (check: Check, { least = 0, most = Number.POSITIVE_INFINITY } = {}): Check =>
  (value, at) => {
    if (!Array.isArray(value)) return [`${at} is no list`];
    const { length } = value;
    const wrongLength = length < least || length > most ? [`${at} has ${length} entries, not ${least} to ${most}`] : [];
    return [...wrongLength, ...value.flatMap((entry, index) => check(entry, `${at}[${index}]`))];
  };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const mapOf =
  (check: Check): Check =>
  (value, at) =>
    isObject(value)
      ? Object.entries(value).flatMap(([name, entry]) => check(entry, `${at}.${name}`))
      : [`${at} is no object`];

const anything: Check = () => [];

/** Refuses keys that are not documented as well: some receivers pass over them, and then a misspelt one is missing to people. */
const objectOf =
  (required: Readonly<Record<string, Check>>, optional: Readonly<Record<string, Check>> = {}): Check =>
  (value, at) => {
    if (!isObject(value)) return [`${at} is no object`];
    const known = { ...optional, ...required };
    return [
      ...Object.keys(required).flatMap((key) => (Object.hasOwn(value, key) ? [] : [`${at}.${key} is missing`])),
      ...Object.entries(value).flatMap(([key, entry]) =>
        Object.hasOwn(known, key) ? (known[key]?.(entry, `${at}.${key}`) ?? []) : [`${at}.${key} is not known`],
      ),
    ];
  };

const timestamp = matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
const named = text({ least: 1 });

const pagerdutyHead = { routing_key: matching(/^[0-9A-Za-z]{32}$/) };
const dedupKey = text({ least: 1, most: 255 });
const pagerdutyTrigger = objectOf(
  {
    ...pagerdutyHead,
    event_action: oneOf("trigger"),
    payload: objectOf(
      {
        summary: text({ least: 1, most: 1_024 }),
        source: named,
        severity: oneOf("critical", "error", "warning", "info"),
      },
      { timestamp, component: text(), group: text(), class: text(), custom_details: mapOf(anything) },
    ),
  },
  {
    dedup_key: dedupKey,
    client: text(),
    client_url: matching(/^https?:\/\//),
    links: listOf(objectOf({ href: named }, { text: text() })),
    images: listOf(objectOf({ src: named }, { href: text(), alt: text() })),
  },
);
const pagerdutyOther = objectOf({
  ...pagerdutyHead,
  event_action: oneOf("trigger", "acknowledge", "resolve"),
  dedup_key: dedupKey,
});

/** An event of PagerDuty's Events API v2: what ends an incident must say which. */
export const pagerdutySchema: SchemaCheck = (body) =>
  (isObject(body) && body["event_action"] === "trigger" ? pagerdutyTrigger : pagerdutyOther)(body, "event");

/** Slack's three characters of control come escaped, or in a link or a mention. */
const slackText =
  (limits: { least?: number; most?: number }): Check =>
  (value, at) => [
    ...text(limits)(value, at),
    ...(/<(?![@#!]|https?:|mailto:)|&(?!amp;|lt;|gt;)/.test(String(value)) ? [`${at} is not escaped`] : []),
  ];

/** A message for an incoming webhook of Slack, with the older attachments. */
export const slackSchema: SchemaCheck = (body) =>
  objectOf(
    { text: slackText({ least: 1, most: 40_000 }) },
    {
      attachments: listOf(
        objectOf(
          { fallback: slackText({ least: 1 }) },
          {
            color: matching(/^(good|warning|danger|#[0-9a-f]{6})$/i),
            title: slackText({}),
            text: slackText({}),
            fields: listOf(objectOf({ title: slackText({}), value: slackText({}) }, { short: bool })),
            ts: wholeNumber,
          },
        ),
        { most: 100 },
      ),
    },
  )(body, "message");

const status = oneOf("firing", "resolved");
const labels = mapOf(text());

/** Alertmanager's webhook payload, version 4: every key is there. */
export const webhookSchema: SchemaCheck = (body) =>
  objectOf({
    version: oneOf("4"),
    groupKey: named,
    truncatedAlerts: wholeNumber,
    status,
    receiver: named,
    groupLabels: labels,
    commonLabels: labels,
    commonAnnotations: labels,
    externalURL: text(),
    alerts: listOf(
      objectOf({
        status,
        labels,
        annotations: labels,
        startsAt: timestamp,
        endsAt: timestamp,
        generatorURL: text(),
        fingerprint: matching(/^[0-9a-f]{16}$/),
      }),
      { least: 1 },
    ),
  })(body, "payload");

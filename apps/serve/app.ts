/**
 * The routes: what a request passes on its way to the batcher and back.
 *
 *     access -> limit of the body -> JSON -> zod -> token ids -> mode -> batcher -> whole answer, or events
 *
 * A client that goes away aborts its texts. Prompts and answers are not logged.
 */
import { libraryDefaults } from "early-exits/node";
import { randomInt, randomUUID } from "node:crypto";
import { giveTurn, type Tokenizer } from "early-exits/model";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { type AccessOptions, requireAccess } from "./access.js";
import {
  type Answer,
  type Choice,
  closingChunk,
  openingChunk,
  tokenChunk,
  usageChunk,
  wholeAnswer,
} from "./answers.js";
import { ApiError, apiErrorOf, envelopeOf, errorResponse } from "./api-error.js";
import { auditTexts, type OnPromised } from "./audits.js";
import type { Batcher } from "./batcher.js";
import { type ChatBody, chatPrompts, parseChatBody, parseTextBody, type TextBody, textPrompts } from "./bodies.js";
import { chooseMode, isFor, type ModeRules, type ServingMode } from "./ways.js";
import { createMetrics, type Metrics } from "./metrics.js";
import type { ServedToken } from "./served-text.js";

interface AppOptions extends AccessOptions, ModeRules {
  readonly modelName: string;
  /** Bytes of a body. */
  readonly bodyBytes: number;
  /** Milliseconds per request. */
  readonly timeLimit: number;
  /** Aborted when the server stops for good. */
  readonly stopping: AbortSignal;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: (line: string) => void;
}

/** Request by any route. */
interface Asked {
  readonly kind: Answer["kind"];
  readonly body: ChatBody | TextBody;
  readonly prompts: readonly (readonly number[])[];
  readonly maxNewTokens: number;
  /** Number of most likely tokens; undefined for no log-probabilities. */
  readonly logprobs: number | undefined;
}

/** Routes requests to answers; listens nowhere. */
export function createApp(batcher: Batcher, options: AppOptions): Hono {
  const { modelName, bodyBytes, now, log } = options;
  const metrics = createMetrics(batcher, options.audit);
  const serving: Serving = { batcher, options, metrics, audited: auditTexts(batcher, options) };
  const created = Math.floor(now() / 1000);
  const model = { id: modelName, object: "model", created, owned_by: "early-exits" };
  const app = new Hono();

  app.use(async (context, next) => {
    const started = now();
    await next();
    const { method, path } = context.req;
    const { status } = context.res;
    // What is left of a body that nobody read would be taken for the next request.
    if (status === 413 || (method === "POST" && !context.req.raw.bodyUsed)) context.header("connection", "close");
    metrics.request(routes.includes(path) ? path : "other", status);
    log(`${method} ${path} ${status}, ${now() - started} ms`);
  });
  app.onError((error, { req }) => {
    if (req.raw.signal.aborted) return new Response(null, { status: 499 }); // nobody waits for it
    const known = apiErrorOf(error);
    if (known.status === 500) log(`error: ${error.stack ?? error.message}`);
    return errorResponse(known);
  });
  app.notFound(({ req }) => errorResponse(new ApiError(404, `there is no ${req.method} ${req.path}`, "not_found")));
  app.get("/healthz", (context) => context.json({ status: "ok" }));

  app.use(async ({ req }, next) => {
    requireAccess(req.raw.headers, options);
    await next();
  });
  app.get("/metrics", () => metrics.response());
  app.get("/v1/models", (context) => context.json({ object: "list", data: [model] }));
  app.get("/v1/models/:id{.+}", (context) => {
    requireModel(context.req.param("id"), modelName);
    return context.json(model);
  });

  const limit = bodyLimit({
    maxSize: bodyBytes,
    onError: () => errorResponse(new ApiError(413, `the body is longer than ${bodyBytes} bytes`, "body_too_long")),
  });
  const inTurn = oneByOne();
  const roomAfter = (prompts: Asked["prompts"]): number =>
    Math.max(0, batcher.model.config.maxPositionEmbeddings + 1 - Math.max(...prompts.map(({ length }) => length)));
  const answering = (read: (json: unknown) => Promise<Asked>) => async (context: Context) => {
    const { raw } = context.req;
    const text = await readBody(raw);
    const asked = await inTurn(raw.signal, () => read(jsonOf(text)));
    return answerTo(asked, raw.signal, serving);
  };
  const readChat = async (json: unknown): Promise<Asked> => {
    const body = parseChatBody(json);
    requireModel(body.model, modelName);
    const prompts = await chatPrompts(batcher.model, body, batcher.mostTexts, new Date(now()));
    return {
      kind: "chat",
      body,
      prompts,
      maxNewTokens:
        body.max_completion_tokens ??
        body.max_tokens ??
        Math.min(libraryDefaults.chat.maxNewTokens, roomAfter(prompts)),
      logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
    };
  };
  const readTexts = async (json: unknown): Promise<Asked> => {
    const body = parseTextBody(json);
    requireModel(body.model, modelName);
    const prompts = await textPrompts(batcher.model, body, batcher.mostTexts);
    return {
      kind: "text",
      body,
      prompts,
      maxNewTokens: body.max_tokens ?? Math.min(TEXT_TOKENS, roomAfter(prompts)),
      logprobs: body.logprobs,
    };
  };
  app.post("/v1/chat/completions", limit, answering(readChat));
  app.post("/v1/completions", limit, answering(readTexts));
  return app;
}

/** Text of a token in the middle of a text; of an id without token, "". */
function speller(tokenizer: Tokenizer): (id: number) => string {
  const before = tokenizer.encode("a", { addSpecialTokens: false });
  const { length } = tokenizer.decode(before);
  return (id) => {
    try {
      return tokenizer.decode([...before, id], { skipSpecialTokens: false }).slice(length);
    } catch {
      return "";
    }
  };
}

/**
 * Runs jobs one after another, so that many long bodies take no more of the event loop than one. A job whose signal is
 * aborted by its turn is refused.
 */
function oneByOne(): <T>(signal: AbortSignal, job: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (signal, job) => {
    const result = last.then(async () => {
      await giveTurn();
      if (signal.aborted) throw new Error("the client has gone"); // the reason may be a string
      return job();
    });
    last = result.catch(() => undefined);
    return result;
  };
}

/** OpenAI's default of text completions. */
const TEXT_TOKENS = 16;
const SEEDS = 2 ** 31;
const routes = ["/healthz", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/completions"];

async function readBody(request: Request): Promise<string> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ApiError(415, `the body is ${JSON.stringify(type)}; send application/json`, "content_type");
  }
  return request.text();
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, "the body is not JSON", "invalid_json");
  }
}

function requireModel(asked: string, served: string): void {
  if (asked === served) return;
  throw new ApiError(
    404,
    `the model ${JSON.stringify(asked)} is not served here; ask for ${JSON.stringify(served)}`,
    "model_not_found",
    "model",
  );
}

interface Serving {
  readonly batcher: Batcher;
  readonly options: AppOptions;
  readonly metrics: Metrics;
  readonly audited: OnPromised;
}

/** Answers with all texts at once or as they come. */
async function answerTo(asked: Asked, client: AbortSignal, serving: Serving): Promise<Response> {
  const { batcher, options } = serving;
  const { modelName, now, stopping, timeLimit } = options;
  const gone = new AbortController();
  const late = AbortSignal.timeout(timeLimit);
  const signal = AbortSignal.any([client, gone.signal, late, stopping]);
  const seed = asked.body.seed ?? randomInt(SEEDS);
  const answer: Answer = {
    kind: asked.kind,
    id: `${asked.kind === "chat" ? "chatcmpl" : "cmpl"}-${randomUUID()}`,
    created: Math.floor(now() / 1000),
    model: modelName,
    seed,
    logprobs: asked.logprobs !== undefined,
    spell: speller(batcher.model.tokenizer),
  };
  const explain = (error: unknown): ApiError => {
    if (late.aborted) return new ApiError(408, `the answer took longer than ${timeLimit} ms`, "timeout");
    if (stopping.aborted) return new ApiError(503, "the server is closing", "serve-closed");
    return apiErrorOf(error);
  };
  try {
    const choices = submit(asked, answer, signal, serving);
    if (asked.body.stream === true) return eventsOf(answer, asked, choices, { ...serving, gone, explain });
    const written = await Promise.all(
      choices.map(async (choice) => ({ ...choice, tokens: await readAll(choice, serving) })),
    );
    return Response.json(wholeAnswer(answer, written));
  } catch (error) {
    gone.abort(error); // the other choices are not needed
    throw explain(error);
  }
}

interface SubmittedChoice extends Choice {
  readonly mode: ServingMode;
}

/** Settings of a request that names none, where no certificate says for which texts are. */
const OPENAI = { ...libraryDefaults.sampling, temperature: 1 };

/** Choice j of prompt i has number i·n + j, which is added to the seed. */
function submit(
  { body, prompts, maxNewTokens, logprobs }: Asked,
  { seed, id }: Answer,
  signal: AbortSignal,
  { batcher, options, audited }: Serving,
): SubmittedChoice[] {
  const usual = options.policy?.certified?.sampling ?? OPENAI;
  const sampling = {
    temperature: body.temperature ?? usual.temperature,
    topP: body.top_p ?? usual.topP,
    topK: body.top_k ?? usual.topK,
    minP: body.min_p ?? usual.minP,
    repetitionPenalty: body.repetition_penalty ?? usual.repetitionPenalty,
  };
  const mode = chooseMode(options, { mode: body.mode, sampling, logprobs: logprobs !== undefined });
  const promised = mode === "exits" && isFor(options.policy!, sampling);
  const { n = 1, stop = [] } = body;
  // To an audit, texts of one request are as little independent as texts of one user.
  const user = body.user ?? body.safety_identifier ?? (n * prompts.length > 1 ? id : undefined);
  return prompts.flatMap((promptIds, i) =>
    Array.from({ length: n }, (_, j) => {
      const index = i * n + j;
      const text = batcher.submit(promptIds, {
        ...sampling,
        mode,
        maxNewTokens,
        seed: seed + index,
        stop,
        signal,
        ...(logprobs !== undefined && { logprobs }),
      });
      if (promised) void audited(promptIds, text, user);
      return { index, firstOfPrompt: j === 0, text, mode };
    }),
  );
}

async function readAll({ text, mode }: SubmittedChoice, { metrics }: Serving): Promise<ServedToken[]> {
  const tokens: ServedToken[] = [];
  for await (const token of text) {
    metrics.token(token, mode);
    tokens.push(token);
  }
  metrics.text(text.summary);
  return tokens;
}

interface Streaming extends Serving {
  readonly gone: AbortController;
  readonly explain: (error: unknown) => ApiError;
}

function eventsOf(
  answer: Answer,
  { body }: Asked,
  choices: readonly SubmittedChoice[],
  { metrics, gone, explain }: Streaming,
): Response {
  async function* chunksOf(choice: SubmittedChoice): AsyncGenerator<object, void, undefined> {
    if (answer.kind === "chat") yield openingChunk(answer, choice);
    for await (const token of choice.text) {
      metrics.token(token, choice.mode);
      yield tokenChunk(answer, choice, token);
    }
    metrics.text(choice.text.summary);
    yield closingChunk(answer, choice);
  }
  async function* events(): AsyncGenerator<string, void, undefined> {
    try {
      for await (const chunk of merge(choices.map(chunksOf))) yield JSON.stringify(chunk);
      if (body.stream_options?.include_usage === true) yield JSON.stringify(usageChunk(answer, choices));
      yield "[DONE]";
    } catch (error) {
      gone.abort(error);
      yield JSON.stringify(envelopeOf(explain(error)));
    }
  }
  return eventStream(events(), (reason) => {
    gone.abort(reason ?? new Error("the client has gone"));
  });
}

/**
 * Server-sent events, made as the reader takes them: nothing is written ahead but what the sockets hold. `onCancel` is
 * called if the reader goes away.
 */
function eventStream(events: AsyncGenerator<string, void, undefined>, onCancel: (reason: unknown) => void): Response {
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await events.next();
        if (done === true) controller.close();
        else controller.enqueue(encoder.encode(`data: ${value}\n\n`));
      },
      cancel(reason) {
        onCancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(stream, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
  });
}

/** Several asynchronous iterables as one, in the order in which their values arrive. */
async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T, void, undefined> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const next = async (i: number): Promise<{ readonly i: number; readonly result: IteratorResult<T> }> => ({
    i,
    result: await iterators[i]!.next(),
  });
  const pending = new Map(iterators.map((_, i) => [i, next(i)]));
  while (pending.size > 0) {
    const { i, result } = await Promise.race(pending.values());
    if (result.done === true) {
      pending.delete(i);
      continue;
    }
    yield result.value;
    pending.set(i, next(i));
  }
}

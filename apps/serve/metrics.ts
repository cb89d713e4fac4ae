/** /metrics in Prometheus' format, without prompts and texts. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Audit } from "early-exits/calibrate";
import type { Batcher } from "./batcher.js";
import type { ServedSummary, ServedToken } from "./served-text.js";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(batcher: Batcher, audit: Audit | undefined) {
  const registry = new Registry();
  const registers = [registry];
  const buckets = Array.from({ length: batcher.model.config.numLayers }, (_, i) => i + 1);
  const named = (name: string, help: string) => ({ name: `early_exits_${name}`, help, registers });
  const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Counter({ ...named(name, help), labelNames });
  const requests = counter("requests_total", "Requests", "route", "status");
  const tokens = counter("tokens_total", "Tokens written", "mode");
  const promptTokens = counter("prompt_tokens_total", "Prompt tokens, computed or copied from another text", "source");
  const depths = new Histogram({
    ...named("token_depth_blocks", "Blocks run to choose a token, or to draft it"),
    labelNames: ["mode"],
    buckets,
  });
  const exits = counter("exits_taken_total", "Tokens that left at an exit", "exit");
  const timed = (name: string, help: string) => new Histogram({ ...named(name, help), buckets: SECONDS });
  const waited = timed("queue_seconds", "Time in the queue");
  const firstToken = timed("first_token_seconds", "Time from the request to the first token");
  const between = timed("between_tokens_seconds", "Mean time between the tokens of a text");
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      ...named(name, help),
      collect() {
        this.set(read());
      },
    });
  };
  gauge("running", "Texts that are being written", () => batcher.state.running);
  gauge("queued", "Texts that wait", () => batcher.state.queued);
  gauge("cache_bytes", "Bytes of all KV caches", () => batcher.state.cacheBytes);
  if (audit !== undefined) {
    gauge("audit_units", "Audited units", () => audit.report.units);
    gauge("audit_loss_mean", "Mean loss of the audited units", () => audit.report.meanLoss);
    gauge("audit_loss_low", "Confidence sequence of the mean loss: lower end", () => audit.report.interval.low);
    gauge("audit_loss_high", "Confidence sequence of the mean loss: upper end", () => audit.report.interval.high);
    gauge("audit_loss_target", "The loss that is promised at most", () => audit.report.target);
    gauge("audit_alarm", "1 once the alarm was raised", () => Number(audit.report.raised));
  }
  return {
    request(route: string, status: number): void {
      requests.inc({ route, status: String(status) });
    },
    token({ depth, exit }: ServedToken, mode: string): void {
      tokens.inc({ mode });
      depths.observe({ mode }, depth);
      if (exit !== undefined) exits.inc({ exit: String(exit) });
    },
    text({ promptTokens: prompt, reusedTokens, queued, timeToFirstToken, tokensPerSecond }: ServedSummary): void {
      promptTokens.inc({ source: "computed" }, prompt - reusedTokens);
      promptTokens.inc({ source: "copied" }, reusedTokens);
      waited.observe(queued / 1000);
      if (!Number.isNaN(timeToFirstToken)) firstToken.observe(timeToFirstToken / 1000);
      if (!Number.isNaN(tokensPerSecond)) between.observe(1 / tokensPerSecond);
    },
    async response(): Promise<Response> {
      return new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } });
    },
  };
}

/** Server-sent events, made as the reader takes them: nothing is written ahead but what the sockets hold. */

/** `onCancel` is called if the reader goes away. */
export function eventStream(
  events: AsyncGenerator<string, void, undefined>,
  onCancel: (reason: unknown) => void,
): Response {
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

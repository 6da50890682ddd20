// What grows while one looks: the rows of a log, and the part of a page that shows a job. Rows
// come from the service as it shows them itself; nothing is made of text here.
"use strict";
(() => {
  const log = document.getElementById("log");
  const job = document.getElementById("job");
  const source = (job && job.dataset.over !== "true" && job) || (log && log.dataset.live && log);
  if (!source || !window.EventSource) return;

  // As long as one has not scrolled away, the end stays in sight.
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const pageAtEnd = () => document.documentElement.scrollHeight - scrollY - innerHeight < 60;
  const ROWS = 20000;

  // One after the other: what htmx is asked for meanwhile would go to the part that the first takes
  // away, and the last word on a job would never be seen.
  let isBusy = false;
  let isStale = false;
  const refresh = () => {
    if (!job) return;
    if (isBusy) { isStale = true; return; }
    isBusy = true;
    const done = () => {
      isBusy = false;
      if (!isStale) return;
      isStale = false;
      refresh();
    };
    const into = { target: "#job", select: "#job", swap: "outerHTML" };
    htmx.ajax("GET", location.pathname, into).then(done, done);
  };
  const events = new EventSource(source.dataset.live);
  events.addEventListener("attempt", () => { if (log) log.replaceChildren(); });
  events.addEventListener("log", (event) => {
    if (!log) return;
    const isTail = log.classList.contains("tail");
    const follows = isTail ? atEnd() : pageAtEnd() && !location.hash;
    log.insertAdjacentHTML("beforeend", event.data);
    while (log.childElementCount > (isTail ? 500 : ROWS)) log.firstElementChild.remove();
    if (follows && isTail) log.scrollTop = log.scrollHeight;
    if (follows && !isTail) scrollTo(0, document.documentElement.scrollHeight);
  });
  events.addEventListener("begin", (event) => {
    if (job && event.data !== job.dataset.state) refresh();
  });
  events.addEventListener("job", refresh);
  events.addEventListener("end", () => { events.close(); refresh(); });
  if (log && log.classList.contains("tail")) log.scrollTop = log.scrollHeight;
})();

// Before the first paint, so that a page of the other theme never flashes up; theme.js has the rest.
{
  const chosen = localStorage.getItem("batchq.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The stored run is rendered, its pictures are what they claim to be, and the page works in a browser: sections, search, filters,
# sorting, links from points to rows, no error, nothing from the network, no sideways scrolling on a narrow screen.
set -u
command -v gnuplot > /dev/null || { echo "gnuplot is missing (scripts/setup.sh installs it)"; exit 77; }
program=$PWD/${BUILD:-build}/llmsweep
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run="$work/a run's \"copy\" & more"
cp -r tests/golden/run "$run"
status=0
wrong() { echo "wrong: $*"; status=1; }

"$program" report "$run" > "$work/found" 2> "$work/said" || { cat "$work/said"; echo "report failed"; exit 1; }
grep -q 'Fastest\.' "$work/found" || wrong "no finding on stdout"
grep -qF "$run/report/index.html" "$work/found" || wrong "the page's place is not on stdout"
page="$run/report/index.html"

"$program" report "$run" -o "$work/elsewhere" > /dev/null 2>&1 && cmp -s "$page" "$work/elsewhere/index.html" || wrong "-o gives another report"

# Pictures
for name in pareto-1 prune-1 bits-1 heatmap-1 batch-1 layout-1 roofline-1 counters-1 prune-2 bits-2 batch-2 roofline-2 kernels kernel_roofline; do
    [ "$(head -c 8 "$run/report/$name.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || wrong "$name.png is not PNG"
    if command -v pdfinfo > /dev/null; then
        pdfinfo "$run/report/$name.pdf" 2> /dev/null | grep -q '^Pages: *1$' || wrong "$name.pdf is not a PDF of one page"
    fi
    grep -q "id=\"plot-$name\"" "$page" || wrong "no figure $name in the page"
    [ -s "$run/report/data/$name.csv" ] || wrong "no data of $name"
done
[ ! -e "$run/report/pareto-2.png" ] || wrong "a plot of quality for a model without quality"
grep -q 'Left out: pareto (quality was not measured' "$page" || wrong "no word on why a plot is left out"
# A script is of use by itself, from anywhere.
(cd / && gnuplot -d -e "data='$work/prune.csv'; out='$work/prune.svg'" "$OLDPWD/scripts/plot/prune.gp") > /dev/null 2>&1 &&
    wrong "a plot without data was drawn"
cp "$run/report/data/prune-1.csv" "$work/prune.csv"
gnuplot -d -e "data='$work/prune.csv'; out='$work/prune.svg'" scripts/plot/prune.gp 2> /dev/null
grep -q '</svg>' "$work/prune.svg" || wrong "prune.gp does not work by itself"

# Nothing from elsewhere
grep -nE 'https?:|src=|@import|url\(|<link[^>]*href="[^d]' "$page" && wrong "the page refers to something outside itself"
# Ids are unique.
grep -oE " id=['\"][^'\"]*" "$page" | sed "s/ id=['\"]//" | sort | uniq -d | grep . && wrong "ids that are there twice"

# Bad input: one line, exit 2, and the page that was there stays.
before=$(cksum < "$page")
expect2() { # what is expected in the message, command…
    local expected=$1
    shift
    "$@" > /dev/null 2> "$work/said"
    local code=$?
    [ $code -eq 2 ] || wrong "exit $code instead of 2: $*"
    [ "$(wc -l < "$work/said")" -eq 1 ] || wrong "not one line: $(cat "$work/said")"
    grep -q "$expected" "$work/said" || wrong "no '$expected' in: $(cat "$work/said")"
}
mkdir "$work/empty"
expect2 'gnuplot is not installed' env PATH="$work/empty" "$program" report "$run"
expect2 'no such file; give the folder of a run' "$program" report "$work/none"
sed 's/^cell,status,/cell,state,/' "$run/cells.csv" > "$work/empty/cells.csv"
expect2 "no column 'status'" "$program" report "$work/empty"
{ cat "$run/cells.csv"; echo "one,two"; cat "$run/cells.csv"; } > "$work/empty/cells.csv"
expect2 'cells.csv:[0-9]*: 2 fields' "$program" report "$work/empty"
[ "$(cksum < "$page")" = "$before" ] || wrong "a failed report changed the page"

# A run of which only torn rows of cells are left still has a page.
{ head -n 3 "$run/cells.csv"; tail -n 1 "$run/cells.csv" | head -c 60; } > "$work/empty/cells.csv"
"$program" report "$work/empty" > "$work/found" 2>&1 || wrong "no report of an interrupted run: $(cat "$work/found")"
grep -q 'ends in a torn row' "$work/empty/report/index.html" || wrong "no word on the torn row"

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    [ $status -eq 0 ] || exit 1
    echo "everything but the page in a browser: chromium is missing (scripts/setup.sh --test installs it)"
    exit 77
}
cells=$(($(wc -l < "$run/cells.csv") - 1))
first=$(sed -n 2p "$run/cells.csv" | cut -d, -f1)
matches=$(grep -c ',q4g32+2:4,' "$run/cells.csv")
# The same page with a script at its end that tries things and leaves what it saw in the DOM.
cat > "$work/try.js" <<'JS'
<script>
(function () {
  const saw = {};
  const shown = () => Number(document.getElementById('shown').value.split(' ')[0]);
  const dim = () => document.querySelectorAll('figure svg a.dim').length;
  const input = (element, value) => { element.value = value; element.dispatchEvent(new Event('input', { bubbles: true })); };
  const search = document.getElementById('search');
  saw.all = shown(); saw.dimBefore = dim();
  input(search, '2:4 Q4G32'); saw.search = shown(); saw.dimAfter = dim() > 0;
  input(search, 'no such cell'); saw.none = shown();
  input(search, '');
  const layout = Array.from(document.querySelectorAll('#selects label')).find((label) => label.textContent.startsWith('layout')).querySelector('select');
  input(layout, '=tp2'); saw.layout = Array.from(document.querySelectorAll('#table tbody tr:not([hidden])')).every((row) => row.textContent.includes('tp2')) && shown() > 0;
  input(layout, '');
  const head = Array.from(document.querySelectorAll('#table th')).find((th) => th.textContent.startsWith('decode'));
  const column = head.cellIndex;
  const values = () => Array.from(document.querySelectorAll('#table tbody tr')).map((row) => Number(row.cells[column].dataset.v));
  head.click(); const up = values().filter((v) => v === v); saw.up = up.every((v, i) => !i || up[i - 1] <= v);
  head.click(); const down = values().filter((v) => v === v); saw.down = down.every((v, i) => !i || down[i - 1] >= v);
  saw.emptyLast = isNaN(values().pop());
  const links = Array.from(document.querySelectorAll('figure svg a[href]'));
  saw.links = links.length; saw.dead = links.filter((link) => !document.getElementById(link.getAttribute('href').slice(1))).length;
  links[0].dispatchEvent(new MouseEvent('mousemove', { clientX: 9, clientY: 9 }));
  saw.tip = document.getElementById('tip').textContent.includes('tokens/s') && !document.getElementById('tip').hidden;
  saw.fits = document.documentElement.scrollWidth <= innerWidth;
  saw.hit = document.querySelectorAll('tr.hit').length;
  document.body.dataset.saw = Object.entries(saw).map(([k, v]) => k + '=' + v).join(' ');
})();
</script>
JS
errors='<script>addEventListener("error", (e) => { document.documentElement.dataset.error = e.message; });</script>'
sed -e "s|<head>|<head>$errors|" -e "/^<\/body>/e cat '$work/try.js'" "$page" > "$work/try.html"
browse() { # width, page, what of it
    timeout 100 "$chromium" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" \
        --window-size="$1",900 --virtual-time-budget=2000 --dump-dom "file://$2$3" 2> /dev/null
}
browse 390 "$work/try.html" '#q=' > "$work/narrow"
browse 1280 "$work/try.html" "#cell-$first" > "$work/wide"
for width in narrow wide; do
    grep -o 'data-error="[^"]*"' "$work/$width" && wrong "$width: the page's script fails"
    saw=$(grep -o 'data-saw="[^"]*"' "$work/$width") || { wrong "$width: the page's script did not run"; continue; }
    for expected in all="$cells" dimBefore=0 search="$matches" dimAfter=true none=0 layout=true up=true down=true emptyLast=true \
        dead=0 tip=true fits=true hit=$([ $width = wide ] && echo 1 || echo 0); do
        case " ${saw#data-saw=} " in
        *[\ \"]"$expected"[\ \"]*) ;;
        *) wrong "$width: not $expected in $saw" ;;
        esac
    done
done
browse 1280 "$work/try.html" '#q=q8g32%20tp2' > "$work/query"
linked=$(grep ',q8g32' "$run/cells.csv" | grep -c ',tp2,')
grep -q "data-saw=\"all=$linked " "$work/query" || wrong "#q=… in the address shows not $linked cells"
for section in model-1 model-2 machine untimed cells environment; do
    grep -q "<section id=\"$section\">" "$work/query" || wrong "no section $section"
done
exit $status

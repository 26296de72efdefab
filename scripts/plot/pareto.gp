# SPDX-License-Identifier: MIT
# gnuplot -e "data='pareto.csv'; out='pareto.svg'" pareto.gp
# Block 0: the front: change of perplexity in %, speed. Then a block a format: change, lo, hi, speed, lo, hi, cell, on the front.
if (!exists("height")) height = 440
load ARG0[:strlen(ARG0) - strlen("pareto.gp")] . "style.gp"
least = 0.1
at(x) = x > least ? x : least
on(x, front) = front == 1 ? x : NaN
off(x, front) = front == 0 ? x : NaN
stats data index 1:blocks - 1 using 1 name "x" nooutput
set logscale x
set xrange [least * 0.7:at(x_max) * 1.6]
set yrange [0:*]
set grid xtics
set xtics ("no more" least, "1%%" 1, "10%%" 10, "100%%" 100, "×10" 900, "×100" 9900, "×1000" 99900)
set xlabel "perplexity above unpruned f32 (log scale)"
set ylabel speed
set arrow from 1, graph 0 to 1, graph 1 nohead linecolor rgb accent dashtype 2 linewidth 0.9
set label "budget 1%" at 1, graph 0.97 offset 0.6,0 textcolor rgb accent
plot data index 0 using (at($1)):2 with steps linecolor rgb accent linewidth 1.1 notitle, \
     for [i = 1:blocks - 1] data index i using (at($1)):4:(at($2)):(at($3)):5:6 with xyerrorbars linecolor rgb color(i - 1) linewidth 0.6 pointtype 0 notitle, \
     for [i = 1:blocks - 1] data index i using (at($1)):4 with points pointtype shape(i - 1) pointsize 0.5 linecolor rgb color(i - 1) title columnheader(1), \
     for [i = 1:blocks - 1] data index i using (at($1)):(off($4, $8)):(cell($7)) with labels hypertext point pointtype shape(i - 1) pointsize 0.5 linecolor rgb color(i - 1) notitle, \
     for [i = 1:blocks - 1] data index i using (at($1)):(on($4, $8)):(cell($7)) with labels hypertext point pointtype shape(i - 1) pointsize 1.05 linecolor rgb color(i - 1) notitle

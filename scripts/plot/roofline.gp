# SPDX-License-Identifier: MIT
# gnuplot -e "data='roofline.csv'; out='roofline.svg'" roofline.gp
# Block 0: the roofs: x, y, dx, dy, label. Then a block a format: operations per byte, GOP/s, lo, hi, cell.
if (!exists("height")) height = 440
load ARG0[:strlen(ARG0) - strlen("roofline.gp")] . "style.gp"
stats data index 1:blocks - 1 using 1:2 name "p" nooutput
set logscale xy
set xrange [p_min_x / 2:*]
set yrange [p_min_y / 2:*]
set format xy "%g"
set grid xtics ytics
set offsets 0, 0, 0, 0
set xlabel "operations per byte read (log scale)"
set ylabel "10⁹ operations/s (log scale)"
stats data index 0 using ($4 > 0 ? $2 / $1 : NaN) name "slope" nooutput
upper(bandwidth) = bandwidth > 0.99 * slope_max
middle(from, by) = sqrt(from * (from + by))
# Near the lower end of the lower line and above it: cells lie below their line, and further up the peaks have their labels.
begin(from, by) = from * ((from + by) / from)**0.3
plot data index 0 using 1:2:3:4 with vectors nohead linecolor rgb accent linewidth 1.4 notitle, \
     data index 0 using ($4 == 0 ? $1 + $3 : NaN):2:5 with labels right offset -0.5,0.6 textcolor rgb accent notitle, \
     data index 0 using ($4 > 0 && upper($2 / $1) ? middle($1, $3) : NaN):(middle($2, $4)):5 with labels right offset -1,0.3 textcolor rgb accent notitle, \
     data index 0 using ($4 > 0 && !upper($2 / $1) ? begin($1, $3) : NaN):(begin($2, $4)):5 with labels right offset -1,0.5 textcolor rgb accent notitle, \
     for [i = 1:blocks - 1] data index i using 1:2:3:4 with yerrorbars linecolor rgb color(i - 1) pointtype 0 notitle, \
     for [i = 1:blocks - 1] data index i using 1:2:(cell($5)) with labels hypertext point pointtype shape(i - 1) pointsize 0.75 linecolor rgb color(i - 1) notitle, \
     for [i = 1:blocks - 1] data index i using 1:2 with points pointtype shape(i - 1) pointsize 0.75 linecolor rgb color(i - 1) title columnheader(1)

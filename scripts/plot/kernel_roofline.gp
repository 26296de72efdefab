# SPDX-License-Identifier: MIT
# gnuplot -e "data='kernel_roofline.csv'; out='kernel_roofline.svg'; roofs=4" kernel_roofline.gp
# A block a roof (`roofs` of them): x, y of both ends. Then a block a family of kernels: operations per byte, GOP/s, lo, hi, row.
# The roofs are named in the key, since they come near each other and the points at any place where a label could stand.
if (!exists("height")) height = 560
if (!exists("roofs")) roofs = 0
load ARG0[:strlen(ARG0) - strlen("kernel_roofline.gp")] . "style.gp"
stats data index roofs:blocks - 1 using 1:2 name "p" nooutput
set logscale xy
set xrange [p_min_x / 2:*]
set yrange [p_min_y / 2:*]
set format xy "%g"
set grid xtics ytics
set key maxrows int(blocks + 1) / 2
set autoscale xfixmax
set xlabel "operations per byte read (log scale)"
set ylabel "10⁹ operations/s (log scale)"
plot for [i = 0:roofs - 1] data index i using 1:2 with lines linecolor rgb accent dashtype dash(i) linewidth 1.3 title columnheader(1), \
     for [i = roofs:blocks - 1] data index i using 1:2:3:4 with yerrorbars linecolor rgb color(i - roofs) linewidth 0.6 pointtype 0 notitle, \
     for [i = roofs:blocks - 1] data index i using 1:2:(sprintf("kernel%d", $5)) with labels hypertext point pointtype shape(i - roofs) pointsize 0.5 linecolor rgb color(i - roofs) notitle, \
     for [i = roofs:blocks - 1] data index i using 1:2 with points pointtype shape(i - roofs) pointsize 0.5 linecolor rgb color(i - roofs) title columnheader(1)

#!/bin/sh
# The shipped weights, from nothing: sh weights/train.sh FACES W300 EMPTY EARS MASKED OPEN IBUG [OUT]
#
# FACES: face images with 68 points and identities.csv (readme/datasets.md). W300: afw/ and helen_train/ of 300-W, with
# mirrored copies. EMPTY: images without people. EARS: images with boxes.csv (readme/datasets.md). MASKED: people with
# masks. OPEN: faces that networks may learn from and be passed on (readme/datasets.md, "Points of another template").
# IBUG: images of ibug-ears. OUT: default runs/weights. What each network learns with stands in
# weights/recipes/NAME.json. weights/history.md tells the minutes, and why there are so many.
# The images that ears_judged.csv names must be in FACES: with others judge ears yourself, or stop after student3.
# A network is skipped once its file is there, and goes on where it was interrupted. WORKERS: processes that make batches.
set -eu
FACES=${1:?name the folder of the face images}
W300=${2:?name the folder of 300-W}
EMPTY=${3:?name the folder of images without people}
EARS=${4:?name the folder of images with boxed ears}
MASKED=${5:?name the folder of people with masks}
OPEN=${6:?name the folder of the open faces}
IBUG=${7:?name the folder of images of ibug-ears}
OUT=${8:-runs/weights}
mkdir -p "$OUT"
cd "$OUT" && OUT=$PWD && cd - >/dev/null

train() { # train SCRIPT NAME FLAGS: OUT/NAME.keras by its recipe
    script=$1; name=$2; shift 2
    [ -e "$OUT/$name.keras" ] && return
    if [ -e "$OUT/run-$name" ]; then set -- --resume; else
        set -- --config "weights/recipes/$name.json" --out "$OUT/$name.keras" "$@"; fi
    python "$script" --run "$OUT/run-$name" --workers "${WORKERS:-0}" "$@"
}
draw() { name=$1; shift; python -m data.synthetic --out "$OUT/$name" "$@"; }
judge() { # judge NETWORK NAME: the ears and places that a person judged, as a network draws them
    [ -e "$OUT/$2" ] && return
    rm -rf "$OUT/$2.part"
    python -m utils.annotate "$OUT/$1.keras" "$FACES/AFW" --out "$OUT/$2.part" --verdicts weights/logs/ears_judged.csv
    mv "$OUT/$2.part" "$OUT/$2"
}

# Synthetic faces and ears
draw heads --faces 2000 --size 192 --seed 103
draw few --faces 700 --size 192 --seed 103
draw heads-a --faces 3000 --size 192 --seed 100
draw heads-b --faces 3000 --size 192 --seed 104
draw heads-c --faces 2000 --size 192 --seed 105
draw heads-d --faces 1300 --size 192 --seed 106
draw heads-e --faces 1000 --size 192 --seed 2611
draw e0 --ears 4000 --size 224 --jpeg --seed 2000
draw e1 --ears 2000 --size 224 --jpeg --seed 2001
draw e2 --ears 1200 --size 224 --jpeg --seed 2002
draw e3 --ears 2400 --size 224 --jpeg --seed 2003
draw e4 --ears 2400 --size 224 --jpeg --seed 2004
draw e5 --ears 1975 --size 224 --jpeg --seed 2005
draw e6 --ears 3600 --size 224 --jpeg --seed 2006
draw e7 --ears 3600 --size 224 --jpeg --seed 2008

# Faces at 256 px
train train_face.py face1 --data "$FACES" --data "$OUT/heads" --negatives "$OUT/e2"
train train_face.py face2 --data "$FACES" --data "$OUT/few" --negatives "$OUT/e2" --init "$OUT/face1.keras"

# Students of it: ears alone, then faces beside them at 160 px
train train_face2ear.py student1 --data "$OUT/e0" --data "$OUT/e1" --data "$OUT/e2" --faces "$FACES" \
    --teacher "$OUT/face2.keras"
train train_face2ear.py student2 --data "$OUT/e0" --faces "$FACES" --replay "$FACES" --teacher "$OUT/face2.keras" \
    --init "$OUT/student1.keras"
train train_face2ear.py student3 --data "$OUT/e0" --data "$OUT/e1" --faces "$FACES" --replay "$FACES" \
    --teacher "$OUT/face2.keras" --init "$OUT/student2.keras"

# A teacher for 160 px, and a student of it with real ears that a person judged
train train_face.py face3a --data "$FACES"
train train_face.py face3b --data "$FACES" --init "$OUT/face3a.keras"
train train_face.py face3 --data "$FACES" --negatives "$OUT/e2" --init "$OUT/face3b.keras"
judge student3 judged
J=$OUT/judged
train train_face2ear.py student4 --data "$OUT/e0" --data "$OUT/e1" --data "$J" --data "$J" --data "$J" --data "$J" \
    --negatives "$J/NoEar" --faces "$FACES" --replay "$FACES" --teacher "$OUT/face3.keras" --init "$OUT/student3.keras"

# That student as its own teacher, at 160 and at 256 px; a point between the two ships
judge student4 judged5
J=$OUT/judged5
for step in "student5a student4" "student5b student5a"; do
    train train_face2ear.py "${step% *}" --data "$OUT/e3" --data "$J" --data "$J" --data "$J" --data "$J" \
        --negatives "$J/NoEar" --faces "$FACES" --replay "$FACES" --replay "$OUT/few" --teacher "$OUT/student4.keras" \
        --init "$OUT/${step#* }.keras"
done
python -m utils.average "$OUT/student5b.keras" "$OUT/student5a.keras" "$OUT/student5.keras" --alpha 0.7

# Faces that people labelled, then ears where annotators click beside them
train train_face.py face4 --data "$W300" --data "$W300" --data "$FACES" --negatives "$EMPTY" --init "$OUT/student5.keras"
python -m utils.average "$OUT/student5.keras" "$OUT/face4.keras" "$OUT/start6.keras" --alpha 1 # with student5's ear heads
rehearse() { # rehearse NAME INIT FLAGS: a student with 300-W and FACES beside its ears
    name=$1; start=$2; shift 2
    train train_face2ear.py "$name" --negatives "$EMPTY" --face-negatives "$EMPTY" --faces "$W300" --faces "$FACES" \
        --replay "$W300" --replay "$W300" --replay "$FACES" --teacher "$OUT/face2.keras" --init "$OUT/$start.keras" "$@"
}
rehearse student6 start6 --data "$OUT/e4"
rehearse student7 student6 --data "$OUT/e5"

# Real ears, as that student labels them in their boxes
label() { # label NETWORK NAME IMAGES FLAGS: a dataset of what a network reads in images
    network=$1; name=$2; images=$3; shift 3
    [ -e "$OUT/$name" ] && return
    rm -rf "$OUT/$name.part"
    python -m utils.annotate "$OUT/$network.keras" "$images" --out "$OUT/$name.part" "$@"
    mv "$OUT/$name.part" "$OUT/$name"
}
label student7 boxed "$EARS" --boxes "$EARS/boxes.csv"
B=$OUT/boxed
rehearse student8 student7 --data "$OUT/e5" --data "$B" --negatives "$B/NoEar" --replay "$FACES"
python -m utils.average "$OUT/student7.keras" "$OUT/student8.keras" "$OUT/start9.keras" --alpha 0.6
rehearse student9 start9 --data "$OUT/e5" --data "$B" --negatives "$B/NoEar" --replay "$FACES"

# Turned heads, and what is taken for faces and ears where nobody is. A point between these and student5 ships
mine() { # mine NETWORK NAME [IMAGES]: such places in images, of EMPTY by default
    [ -e "$OUT/$2" ] && return
    rm -rf "$OUT/$2.part"
    python -m utils.hard_negatives "$OUT/$1.keras" "${3:-$EMPTY}" --out "$OUT/$2.part"
    mv "$OUT/$2.part" "$OUT/$2"
}
again() { # again NAME INIT FLAGS: with hard negatives and synthetic heads among the rehearsed
    name=$1; start=$2; shift 2
    rehearse "$name" "$start" --data "$OUT/e5" --data "$B" --negatives "$B/NoEar" --negatives "$OUT/hard9/ear" \
        --face-negatives "$OUT/hard9/face" --replay "$FACES" --replay "$OUT/heads-c" "$@"
}
mine student9 hard9
again student10 student9
mine student10 hard10
python -m utils.average "$OUT/student9.keras" "$OUT/student10.keras" "$OUT/start11.keras" --alpha 0.6
H=$OUT/hard10/face
set -- --face-negatives "$H" --face-negatives "$H" --face-negatives "$H"
again student11 start11 "$@"
again student12 student11 --face-negatives "$OUT/hard9/ear" "$@"
again student13 student12 --face-negatives "$OUT/hard9/ear" "$@"
python -m utils.average "$OUT/student12.keras" "$OUT/student13.keras" "$OUT/late.keras" --alpha 0.6
python -m utils.average "$OUT/student11.keras" "$OUT/late.keras" "$OUT/later.keras" --alpha 0.7
python -m utils.average "$OUT/student5.keras" "$OUT/later.keras" "$OUT/start14.keras" --alpha 0.85

# New ears, the real ones labelled anew, people with masks
label start14 boxed14 "$EARS" --boxes "$EARS/boxes.csv"
label start14 masked14 "$MASKED" --faces --passes 6 --score 0.5 --agreement 5
python -m utils.export "$OUT/start14.keras" --out "$OUT/noted14.keras" --threshold face=0.65 --threshold turned_face=0.75
mine noted14 hard14
B=$OUT/boxed14; M=$OUT/masked14
last() { # last NAME INIT FLAGS: a student of the same images as the others, and more of some
    name=$1; start=$2; shift 2
    rehearse "$name" "$start" --data "$OUT/e6" --data "$B" --negatives "$B/NoEar" --replay "$FACES" \
        --replay "$OUT/heads-d" --replay "$M" "$@"
}
last student14 start14 --data "$B"
python -m utils.average "$OUT/start14.keras" "$OUT/student14.keras" "$OUT/start15.keras" --alpha 0.5
H=$OUT/hard14
set -- --negatives "$H/ear" --face-negatives "$H/ear" --face-negatives "$H/face" --face-negatives "$H/face" \
    --face-negatives "$H/face" --replay "$FACES" --replay "$M" --replay "$M" --replay "$M"
last student15 start15 --data "$B" --replay "$M" --replay "$M" "$@"
python -m utils.average "$OUT/start15.keras" "$OUT/student15.keras" "$OUT/start16.keras" --alpha 0.6
last student16 start16 --replay "$FACES" "$@"
python -m utils.average "$OUT/start14.keras" "$OUT/start16.keras" "$OUT/late16.keras" --alpha 0.85
python -m utils.average "$OUT/late16.keras" "$OUT/student16.keras" "$OUT/start17.keras" --alpha 0.5

# Pictures cut close to the face, masks and ears labelled anew, ears that people annotated
close() { # close NAME INIT MASKED EARS N FLAGS: a student with these labels, and N times each annotated ear
    name=$1; start=$2; M=$OUT/$3; B=$OUT/$4; times=$5; shift 5
    for _ in $(seq "$times"); do set -- "$@" --data "$IBUG"; done
    for _ in 1 2 3 4 5; do set -- "$@" --replay "$M"; done
    rehearse "$name" "$start" --data "$OUT/e6" --negatives "$B/NoEar" --replay "$OUT/heads-d" --replay "$FACES" \
        --negatives "$H/ear" --face-negatives "$H/ear" --face-negatives "$H/face" --face-negatives "$H/face" \
        --face-negatives "$H/face" "$@"
}
label start17 masked17 "$MASKED" --faces --passes 6 --score 0.5 --agreement 5
close student17 start17 masked17 boxed14 20 --replay "$FACES" --data "$OUT/boxed14"
python -m utils.average "$OUT/start17.keras" "$OUT/student17.keras" "$OUT/start18.keras" --alpha 0.5
label student17 boxed18 "$EARS" --boxes "$EARS/boxes.csv"
label student17 masked18 "$MASKED" --faces --passes 6 --score 0.5 --agreement 5
close student18 start18 masked18 boxed18 40 --replay "$FACES" --data "$OUT/boxed18"
python -m utils.average "$OUT/start18.keras" "$OUT/student18.keras" "$OUT/start19.keras" --alpha 0.4

# Ears where annotators click, not on the lines: drawn ones first, then AWE's as that student labels them. Images of few
# pixels are more frequent. A point between all three ships
close student19 start19 masked18 boxed18 40 --replay "$FACES"
label student19 boxed19 "$EARS" --boxes "$EARS/boxes.csv"
close student20 student19 masked18 boxed19 40 --replay "$FACES" --data "$OUT/e7" --data "$OUT/boxed19"
python -m utils.average "$OUT/student19.keras" "$OUT/student20.keras" "$OUT/late20.keras" --alpha 0.5
python -m utils.average "$OUT/start19.keras" "$OUT/late20.keras" "$OUT/ships.keras" --alpha 0.85

# A small student, from a start that the large one gives. It goes on with more hand-labelled faces, then as the large one
[ -e "$OUT/nano0.keras" ] || python -m utils.prune "$OUT/start19.keras" "$OUT/nano0.keras" --preset small \
    --data "$W300" --data "$FACES" --data "$OUT/e6" --data "$OUT/boxed18"
L=$OUT/start19.keras
close nano nano0 masked18 boxed18 40 --replay "$FACES" --data "$OUT/boxed18" --data "$OUT/boxed18" --teacher "$L"
close nano2 nano masked18 boxed18 40 --replay "$W300" --replay "$W300" --replay "$W300" \
    --data "$OUT/boxed18" --data "$OUT/boxed18" --teacher "$L"
python -m utils.average "$OUT/nano.keras" "$OUT/nano2.keras" "$OUT/nano3start.keras" --alpha 0.5
close nano3 nano3start masked18 boxed19 40 --replay "$W300" --replay "$W300" --replay "$W300" \
    --data "$OUT/e7" --data "$OUT/boxed19" --data "$OUT/boxed19" --teacher "$L"
# With what it takes for a face or an ear itself, and more synthetic heads: ships
mine nano3 hard20
mine nano3 hard21 "$OUT/boxed19/NoEar"
set -- --negatives "$OUT/hard20/ear" --negatives "$OUT/hard21/ear" --negatives "$OUT/hard21/ear" \
    --face-negatives "$OUT/hard20/ear" --face-negatives "$OUT/hard20/face" --face-negatives "$OUT/hard20/face" \
    --face-negatives "$OUT/hard20/face" --replay "$OUT/heads-e"
close nano4 nano3 masked18 boxed19 40 --replay "$W300" --replay "$W300" --replay "$W300" \
    --data "$OUT/e7" --data "$OUT/boxed19" --data "$OUT/boxed19" --teacher "$OUT/ships.keras" "$@"

# Of one stage and 112 px, from a start that this one gives, with labels anew. A point between all three ships
label ships boxed21 "$EARS" --boxes "$EARS/boxes.csv" --ensemble "$OUT/nano4.keras"
label ships masked21 "$MASKED" --faces --passes 6 --score 0.5 --agreement 5
B=$OUT/boxed21
mine ships hard22
mine nano4 hard23
mine nano4 hard24 "$B/NoEar"
[ -e "$OUT/nano5start.keras" ] || python -m utils.prune "$OUT/nano4.keras" "$OUT/nano5start.keras" --preset nano \
    --data "$W300" --data "$FACES" --data "$OUT/e6" --data "$B"
H=$OUT/hard23
set -- --data "$OUT/e7" --replay "$W300" --replay "$W300" --replay "$W300" --negatives "$OUT/hard22/ear" \
    --negatives "$OUT/hard24/ear" --negatives "$OUT/hard24/ear" --face-negatives "$OUT/hard22/ear" \
    --face-negatives "$OUT/hard22/face"
close nano5 nano5start masked21 boxed21 40 --data "$B" --data "$B" "$@"
mine nano5 hard25
mine nano5 hard26 "$OUT/boxed21/NoEar"
set -- "$@" --negatives "$OUT/hard25/ear" --negatives "$OUT/hard26/ear" --face-negatives "$OUT/hard25/ear" \
    --face-negatives "$OUT/hard25/face" --face-negatives "$OUT/hard25/face" --face-negatives "$OUT/hard26/face"
close nano6 nano5 masked21 boxed21 40 --data "$OUT/boxed21" --data "$OUT/boxed21" "$@"
python -m utils.average "$OUT/nano5.keras" "$OUT/nano6.keras" "$OUT/nano7start.keras" --alpha 0.5
close nano7 nano7start masked21 boxed21 60 "$@"
python -m utils.average "$OUT/nano7start.keras" "$OUT/nano7.keras" "$OUT/nanoships.keras" --alpha 0.5

# The face network of 256 px again, with hand-labelled faces and masks. A point between both ships
train train_face.py face5 --data "$W300" --data "$W300" --data "$FACES" --data "$OUT/heads-d" --data "$OUT/masked18" \
    --data "$OUT/masked18" --data "$OUT/masked18" --negatives "$EMPTY" --negatives "$OUT/hard14/face" \
    --init "$OUT/face2.keras" --freeze 2
python -m utils.average "$OUT/face2.keras" "$OUT/face5.keras" "$OUT/faceships.keras" --alpha 0.85

# Synthetic heads alone, at 128 px
train train_face.py synthetic1 --data "$OUT/heads-a"
train train_face.py synthetic2 --data "$OUT/heads" --init "$OUT/synthetic1.keras"
train train_face2ear.py synthetic3 --data "$OUT/e0" --data "$OUT/e1" --faces "$OUT/heads" --replay "$OUT/heads" \
    --replay "$OUT/heads-b" --teacher "$OUT/synthetic2.keras"

# And faces that may be passed on: ships
train train_face2ear.py free --data "$OUT/e6" --faces "$OPEN" --faces "$OUT/heads-d" --replay "$OUT/heads-d" \
    --replay "$OUT/heads-d" --replay "$OPEN" --replay "$OPEN" --replay "$OPEN" --replay "$OPEN" --replay "$OPEN" \
    --replay "$OPEN" --teacher "$OUT/synthetic3.keras" --init "$OUT/synthetic3.keras"

# Ears alone, to compare with: does not ship
train train_ear.py ear1 --data "$OUT/e3" --data "$OUT/e2"

# What ships: the same arrays as float16
python -m utils.export "$OUT/faceships.keras" --out weights/face-lite.keras --threshold face=0.7 --threshold turned_face=0.8
python -m utils.export "$OUT/nano4.keras" --out weights/face2ear-small.keras \
    --threshold face=0.71 --threshold turned_face=0.78 --threshold lone_ear=0.80
python -m utils.export "$OUT/nanoships.keras" --out weights/face2ear-nano.keras \
    --threshold face=0.68 --threshold turned_face=0.76 --threshold ear=0.7 --threshold lone_ear=0.79
python -m utils.export "$OUT/ships.keras" --out weights/face2ear-lite.keras --searcher face2ear-small.keras \
    --threshold face=0.76 --threshold turned_face=0.78 --threshold lone_ear=0.80
python -m utils.export "$OUT/free.keras" --out weights/face2ear-free-lite.keras \
    --threshold face=0.7 --threshold turned_face=0.76 --threshold lone_ear=0.84

"""What decoders write on stderr is heard, image by image, also where threads decode at the same time."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from utils.common.complaints import listen

DAMAGE = "Corrupt JPEG data: premature end of data segment"


def speak(text):
    os.write(2, text.encode())  # as a C library does


@pytest.mark.parametrize(
    ("said", "heard", "passed_on"),
    [
        ("", "", ""),
        (f"{DAMAGE}\n", DAMAGE, ""),
        ("libpng error: IDAT: CRC error\n", "libpng error: IDAT: CRC error", ""),
        ("[ERROR:0@0.05] global grfmt_tiff.cpp:117 TIFF_Error no data\n", "TIFF_Error no data", ""),
        ('[ERROR:0@0.05] global grfmt_tiff.cpp:117 _TIFFVSetField: Bad value 0 for "Orientation" tag\n', "", ""),
        ("libpng warning: iCCP: known incorrect sRGB profile\n", "", ""),  # of many good images
        ("tensorflow says\n", "", "tensorflow says\n"),
        (f"\r40%|{DAMAGE}\n\r41%|", DAMAGE, "\r40%|\r41%|"),
    ],
)
def test_a_complaint_is_heard_and_what_is_none_is_passed_on(capfd, said, heard, passed_on):
    assert listen(lambda: speak(said) or "image") == ("image", heard)
    assert capfd.readouterr().err == passed_on
    speak("after")
    assert capfd.readouterr().err == "after"


def test_of_many_threads_the_one_is_named_whose_image_it_is():
    def decode(number):
        time.sleep(0.002)
        if number % 9 == 4:
            speak(f"{DAMAGE}\n")
        time.sleep(0.002)
        return number

    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(lambda number: listen(lambda: decode(number)), range(60)))
    assert heard == [(number, DAMAGE if number % 9 == 4 else "") for number in range(60)]


def test_stderr_is_back_after_an_error(capfd):
    with pytest.raises(ValueError, match="no image"):
        listen(lambda: (_ for _ in ()).throw(ValueError("no image")))
    speak("here")
    assert capfd.readouterr().err == "here"


def test_a_program_without_stderr_decodes(capfd):
    kept = os.dup(2)
    os.close(2)
    try:
        assert listen(lambda: "image") == ("image", "")
    finally:
        os.dup2(kept, 2)
        os.close(kept)

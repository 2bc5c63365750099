!> Products with the matrices of groups of a force map: 16-bit numbers, two columns in a word, times a scale for each column.
!>
!> A matrix is read from memory twice an epoch, and its bytes are the cost.  Rounded to 1/65534 of the largest number of its
!> column, forces are off by about 1e-5 of their parts; both ways use the same rounded numbers, so that gradients stay exact.
!>
!> A word is w = b + 2^16 a with the signed numbers b (of the odd column) and a (of the even one that follows, or 0), so that
!> x b + y a = (x - 2^-16 y) b + 2^-16 y w: b alone has to be cut out.
module tf_group_products
   use tf_kinds, only : wp, rp => wp, sp
   implicit none
   private
   public :: words_of_columns, round_column, combine_group, project_on_group

   ! Largest number that is kept, and bits of one
   real(wp), parameter :: largest = 32767.0_wp
   integer, parameter :: bits = 16
   real(wp), parameter :: one_high = 2.0_wp**bits

contains

   !> Words of a row of so many columns
   elemental integer function words_of_columns(n)
      !> Columns
      integer, intent(in) :: n

      words_of_columns = (n + 1)/2
   end function words_of_columns

   !> Keep x(l) as column k of a matrix, times the scale; odd columns before the even ones that share their words
   pure subroutine round_column(n, k, x, word, scale)
      !> Rows, and number of the column
      integer, intent(in) :: n, k
      real(wp), intent(in) :: x(n)
      !> Words of the column
      integer, intent(inout) :: word(n)
      real(sp), intent(out) :: scale
      real(wp) :: most, steps
      integer :: l, shift, rounded

      most = 0.0_wp
      !$omp simd reduction(max:most)
      do l = 1, n
         most = max(most, abs(x(l)))
      end do
      scale = real(most/largest, sp)
      if (mod(k, 2) == 1) word = 0
      if (.not. scale > 0.0_sp) return
      shift = merge(0, bits, mod(k, 2) == 1)
      !$omp simd private(steps, rounded)
      do l = 1, n
         steps = x(l)/real(scale, wp)
         ! The scale may have been rounded down
         rounded = int(max(-largest, min(largest, steps + sign(0.5_wp, steps))))
         word(l) = word(l) + shiftl(rounded, shift)
      end do
   end subroutine round_column

   !> The number of the odd column
   elemental integer function odd_part(word)
      integer, intent(in) :: word

      odd_part = shifta(shiftl(word, bits), bits)
   end function odd_part

   !> y(l) = Σ_k x(k) scale(k) a(l,k)
   pure subroutine combine_group(n, m, x, scale, word, y)
      !> Rows, a multiple of `lanes`, and columns
      integer, intent(in) :: n, m
      real(rp), intent(in) :: x(m)
      real(sp), intent(in) :: scale(m)
      integer, intent(in) :: word(n, words_of_columns(m))
      real(rp), intent(out) :: y(n)
      real(rp) :: low, high, low_next, high_next
      integer :: k, l, last

      y = 0.0_rp
      last = words_of_columns(m) - mod(words_of_columns(m), 2)
      do k = 1, last, 2
         call factors(k, low, high)
         call factors(k + 1, low_next, high_next)
         !$omp simd
         do l = 1, n
            y(l) = y(l) + (low*real(odd_part(word(l, k)), rp) + high*real(word(l, k), rp)) &
               + (low_next*real(odd_part(word(l, k + 1)), rp) + high_next*real(word(l, k + 1), rp))
         end do
      end do
      if (last == words_of_columns(m)) return
      call factors(last + 1, low, high)
      !$omp simd
      do l = 1, n
         y(l) = y(l) + (low*real(odd_part(word(l, last + 1)), rp) + high*real(word(l, last + 1), rp))
      end do

   contains

      !> Of the odd part and the whole of words k
      pure subroutine factors(k, low, high)
         integer, intent(in) :: k
         real(rp), intent(out) :: low, high

         high = 0.0_rp
         if (2*k <= m) high = x(2*k)*real(scale(2*k), rp)/real(one_high, rp)
         low = x(2*k - 1)*real(scale(2*k - 1), rp) - high
      end subroutine factors

   end subroutine combine_group

   !> y(k) = Σ_l x(l) scale(k) a(l,k)
   pure subroutine project_on_group(n, m, x, scale, word, y)
      !> Rows, a multiple of `lanes`, and columns
      integer, intent(in) :: n, m
      real(rp), intent(in) :: x(n)
      real(sp), intent(in) :: scale(m)
      integer, intent(in) :: word(n, words_of_columns(m))
      real(rp), intent(inout) :: y(m)
      real(rp) :: low, whole, low_next, whole_next
      integer :: k, l, last

      last = words_of_columns(m) - mod(words_of_columns(m), 2)
      do k = 1, last, 2
         low = 0.0_rp; whole = 0.0_rp; low_next = 0.0_rp; whole_next = 0.0_rp
         !$omp simd reduction(+:low, whole, low_next, whole_next)
         do l = 1, n
            low = low + x(l)*real(odd_part(word(l, k)), rp)
            whole = whole + x(l)*real(word(l, k), rp)
            low_next = low_next + x(l)*real(odd_part(word(l, k + 1)), rp)
            whole_next = whole_next + x(l)*real(word(l, k + 1), rp)
         end do
         call split(m, k, low, whole, scale, y)
         call split(m, k + 1, low_next, whole_next, scale, y)
      end do
      if (last == words_of_columns(m)) return
      low = 0.0_rp; whole = 0.0_rp
      !$omp simd reduction(+:low, whole)
      do l = 1, n
         low = low + x(l)*real(odd_part(word(l, last + 1)), rp)
         whole = whole + x(l)*real(word(l, last + 1), rp)
      end do
      call split(m, last + 1, low, whole, scale, y)
   end subroutine project_on_group

   !> Sums of the columns of words k
   pure subroutine split(m, k, low, whole, scale, y)
      !> Columns, and which words
      integer, intent(in) :: m, k
      !> Sums of the odd parts and of the words
      real(rp), intent(in) :: low, whole
      real(sp), intent(in) :: scale(m)
      real(rp), intent(inout) :: y(m)

      y(2*k - 1) = low*real(scale(2*k - 1), rp)
      if (2*k <= m) y(2*k) = (whole - low)*real(scale(2*k), rp)/real(one_high, rp)
   end subroutine split

end module tf_group_products

!> Elementary functions over whole arrays, branch free and without library calls, so that they run in
!> vector registers on any machine.  Lengths are best multiples of `lanes`.
module tf_vector_math
   use tf_kinds, only : wp, i8, lanes
   implicit none
   private
   public :: exponentials, whole_powers, inner_product, chebyshev_series

contains

   !> y = exp(x), relative error below 2 ulp, 0 for x < -708.8; arguments above 709 count as 709
   pure subroutine exponentials(n, x, y)
      !> Numbers; arguments and values
      integer, intent(in) :: n
      real(wp), intent(in) :: x(n)
      real(wp), intent(out) :: y(n)
      real(wp), parameter :: log2_e = 1.4426950408889634_wp

      ! ln 2 split in two, so that k·ln2_high is exact
      real(wp), parameter :: ln2_high = 6.93147180369123816490e-01_wp, ln2_low = 1.90821492927058770002e-10_wp
      ! 1.5·2^52: adding it leaves the nearest integer in the last bits of the mantissa
      real(wp), parameter :: rounder = 6755399441055744.0_wp
      real(wp), parameter :: q0 = 5.00000000000000102211e-01_wp, q1 = 1.66666666666666674527e-01_wp, &
         q2 = 4.16666666666241278730e-02_wp, q3 = 8.33333333333006183252e-03_wp, q4 = 1.38888889172137169014e-03_wp, &
         q5 = 1.98412698630536168779e-04_wp, q6 = 2.48015212959543751312e-05_wp, q7 = 2.75572684599970647718e-06_wp, &
         q8 = 2.76200884454097481610e-07_wp, q9 = 2.51003854955103190777e-08_wp
      real(wp) :: t, shifted, k, r, p
      integer :: i
      !$omp simd private(t, shifted, k, r, p)
      do i = 1, n
         ! At the lower end k = -1023 and 2^k comes out as 0: the least normal number times a weight would be a slow denormal one
         t = max(min(x(i), 709.0_wp), -709.0_wp)
         shifted = t*log2_e + rounder
         k = shifted - rounder
         r = (t - k*ln2_high) - k*ln2_low
         ! exp(r) = 1 + (r + r² (½ + …)), |r| <= ln(2)/2: polynomial through the Chebyshev points, error 1.3e-17
         p = r + r*r*(q0 + r*(q1 + r*(q2 + r*(q3 + r*(q4 + r*(q5 + r*(q6 + r*(q7 + r*(q8 + r*q9)))))))))
         y(i) = (1.0_wp + p)*transfer(ishft(transfer(shifted, 0_i8) + 1023_i8, 52), 1.0_wp)
      end do
   end subroutine exponentials

   !> y = x^m for an integer m >= 0 by repeated multiplication
   pure recursive subroutine whole_powers(n, x, m, y)
      !> Numbers, arguments, exponent and values
      integer, intent(in) :: n
      real(wp), intent(in) :: x(n)
      integer, intent(in) :: m
      real(wp), intent(out) :: y(n)
      real(wp) :: z
      integer :: i

      select case (m)
      case (0)
         y = 1.0_wp
      case (1)
         y = x
      case (2)
         !$omp simd
         do i = 1, n
            y(i) = x(i)*x(i)
         end do
      case (3)
         !$omp simd
         do i = 1, n
            y(i) = x(i)*x(i)*x(i)
         end do
      case default
         ! Two binary digits at a time: half the passes over the numbers
         call whole_powers(n, x, m/4, y)
         select case (mod(m, 4))
         case (0)
            !$omp simd
            do i = 1, n
               y(i) = (y(i)*y(i))*(y(i)*y(i))
            end do
         case (1)
            !$omp simd
            do i = 1, n
               y(i) = (y(i)*y(i))*(y(i)*y(i))*x(i)
            end do
         case (2)
            !$omp simd private(z)
            do i = 1, n
               z = y(i)*y(i)*x(i)
               y(i) = z*z
            end do
         case (3)
            !$omp simd private(z)
            do i = 1, n
               z = y(i)*y(i)*x(i)
               y(i) = z*z*x(i)
            end do
         end select
      end select
   end subroutine whole_powers

   !> Σ x y in several independent partial sums; n a multiple of `lanes`
   pure real(wp) function inner_product(n, x, y) result(s)
      integer, intent(in) :: n
      real(wp), intent(in) :: x(n), y(n)
      real(wp) :: a(lanes), b(lanes), c(lanes), d(lanes)
      integer :: i, l, last

      a = 0.0_wp
      b = 0.0_wp
      c = 0.0_wp
      d = 0.0_wp
      last = n - mod(n, 4*lanes)
      do i = 0, last - 1, 4*lanes
         do l = 1, lanes
            a(l) = a(l) + x(i + l)*y(i + l)
            b(l) = b(l) + x(i + lanes + l)*y(i + lanes + l)
            c(l) = c(l) + x(i + 2*lanes + l)*y(i + 2*lanes + l)
            d(l) = d(l) + x(i + 3*lanes + l)*y(i + 3*lanes + l)
         end do
      end do
      do i = last, n - 1, lanes
         do l = 1, lanes
            a(l) = a(l) + x(i + l)*y(i + l)
         end do
      end do
      s = sum((a + b) + (c + d))
   end function inner_product

   !> Σ_k (p_k + s p^w_k) T_k(x) and its derivative with respect to x, by Clenshaw's recurrence b_k = p_k + 2x b_{k+1} - b_{k+2}
   !> and its derivative
   pure subroutine chebyshev_series(n, n_order, x2, s, p, p_w, value, slope)
      !> Arguments, a multiple of `lanes`; highest order, even
      integer, intent(in) :: n, n_order
      !> 2x, and the weight of the second series
      real(wp), intent(in) :: x2(n), s(n)
      !> Coefficients
      real(wp), intent(in) :: p(0:n_order), p_w(0:n_order)
      real(wp), intent(out) :: value(n), slope(n)

      ! So few arguments at a time that all stays in registers
      integer, parameter :: strip = 4
      real(wp), dimension(strip) :: x, w, b1, b2, e1, e2
      integer :: j, k, l

      do j = 0, n - strip, strip
         do l = 1, strip
            w(l) = s(j + l)
            x(l) = x2(j + l)
            b1(l) = 0.0_wp
            b2(l) = 0.0_wp
            e1(l) = 0.0_wp
            e2(l) = 0.0_wp
         end do
         ! e = db/d(2x)
         do k = n_order, 2, -2
            do l = 1, strip
               e2(l) = (b1(l) - e2(l)) + x(l)*e1(l)
               b2(l) = ((p(k) + w(l)*p_w(k)) - b2(l)) + x(l)*b1(l)
               e1(l) = (b2(l) - e1(l)) + x(l)*e2(l)
               b1(l) = ((p(k - 1) + w(l)*p_w(k - 1)) - b1(l)) + x(l)*b2(l)
            end do
         end do
         do l = 1, strip
            value(j + l) = ((p(0) + w(l)*p_w(0)) - b2(l)) + 0.5_wp*x(l)*b1(l)
            slope(j + l) = (b1(l) + x(l)*e1(l)) - 2.0_wp*e2(l)
         end do
      end do
   end subroutine chebyshev_series

end module tf_vector_math
